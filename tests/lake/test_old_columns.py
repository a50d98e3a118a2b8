"""Stores from before 0.1.0, with the columns `home` and `door`, are refused and not changed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lake import layout
from lake.commit.journal_objects import decode_journal
from lake.commit.records import parse_record
from lake.commit.rejections import parse_rejected
from lake.errors import OldColumns, StoreTooOld
from lake.lake import Lake
from lake.read.views import Views
from lake.settings import LakeSettings
from lake.store.opening import kept_settings
from lake.tables.rows import decode_chain_file, without_rows
from lake.tables.tables import IMAGE_TABLE, REJECTION_TABLE
from tests.lake.versions import HERE

# Version 2.1 is older than the store settings.
OLD = sorted(path.name for path in (HERE / "old_names").iterdir())
SAYS = r"before 0.1.0.* no migration"


@pytest.fixture(params=OLD)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    shutil.copytree(HERE / "old_names" / request.param / "store", tmp_path / "store")
    return tmp_path / "store"


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_nothing_opens_an_old_store(folder: Path) -> None:
    settings = LakeSettings(store_url=folder.as_uri(), retention_days=7)
    before = files(folder)
    for make in (True, False):
        with pytest.raises(StoreTooOld, match=SAYS) as fault:
            await Lake.open(settings, make=make)
        assert "`window_start` was `home`, `source` was `door`" in fault.value.message
    with pytest.raises(StoreTooOld, match=SAYS):
        await kept_settings(settings)
    if (folder / layout.STORE).exists():
        with pytest.raises(StoreTooOld, match=SAYS):
            Views.open(settings)
    assert files(folder) == before


def readers(name: str) -> list[Callable[[str, bytes], object]]:
    """Functions that read the object of that name."""
    of = REJECTION_TABLE if "rejections/" in name else IMAGE_TABLE
    if name.startswith(layout.REJECTION_RECORDS):
        return [parse_rejected]
    if name.startswith(layout.IMAGES):
        return [parse_record]
    if name.endswith(".parquet"):
        some = ["window_start", of.id]
        whole = (
            [lambda key, data: without_rows(key, data, frozenset())] if of is IMAGE_TABLE else []
        )
        return [
            lambda key, data: decode_chain_file(key, data, of=of),
            lambda key, data: decode_chain_file(key, data, some, of=of),
            *whole,
        ]
    return [lambda key, data: decode_journal(key, data, of)]


def test_every_reader_says_what_it_found_and_what_it_expects(folder: Path) -> None:
    patterns = ("record.json", "*.jsonl", "*.arrow", "*.parquet")
    found = [path for pattern in patterns for path in folder.rglob(pattern)]
    found += (folder / layout.REJECTION_RECORDS).rglob("*.json")
    assert len(found) >= 7
    for path in found:
        name = path.relative_to(folder).as_posix()
        for read in readers(name):
            with pytest.raises(OldColumns, match=r"home.*window_start.*no migration") as fault:
                read(name, path.read_bytes())
            assert fault.value.value == name


async def test_an_old_object_in_the_journal_stays_where_it_is(tmp_path: Path) -> None:
    lake = await Lake.open(LakeSettings(store_url=(tmp_path / "new").as_uri()))
    old = [path for path in (HERE / "old_names").rglob("journal/*/*") if path.is_file()]
    keys = {
        layout.journal_key(lake.clock.now().replace(second=0, microsecond=0), p.stem): p
        for p in old
    }
    for key, path in keys.items():
        await lake.store.put(key, path.read_bytes())
    report = await lake.sealer.run_pass(now=True)
    assert (report.rows, report.unreadable) == (0, len(old))
    assert {each.key for each in await lake.store.objects(layout.JOURNAL)} == set(keys)
