"""Names that no Pixlake process writes, anywhere in a folder: a NAS, `fsck` or a hand made them."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from lake import layout
from lake.errors import UnreadableObject
from lake.lake import Lake
from lake.metrics import SKIPPED_NAMES, SealerTotals
from lake.retention.sweeper import Sweeper
from lake.settings import LakeSettings
from tests.lake.samples import TENANT, commit, image_id, rows


def _socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(Path(path).parent)  # the path of a socket is short
        try:
            server.bind(Path(path).name)
        finally:
            os.chdir(here)


def _file(path: str) -> None:
    Path(path).write_bytes(b"x")


def _folder(path: str) -> None:
    Path(path).mkdir()
    _file(f"{path}/SYNO")


def _loop(path: str) -> None:
    Path(path).symlink_to(Path(path).parent)


def _self(path: str) -> None:
    Path(path).symlink_to(path)


STRANGE: dict[str, tuple[str, Callable[[str], None]]] = {
    "pipe": ("pipe.jsonl", os.mkfifo),
    "socket": ("socket", _socket),
    "link to the folder above": ("loop", _loop),
    "link to itself": ("self", _self),
    "control character": ("a\x01b", _file),
    "line feed in a folder": ("a\nb", _folder),
    "not UTF-8": (os.fsdecode(b"caf\xe9"), _folder),
    "folder of fsck": ("lost+found", _folder),
}
ABOVE = ("journal", "lake/images", "lake/compacted/images", "images", "rejections/records")


@pytest.fixture
async def lake(tmp_path: Path) -> Lake:
    return await Lake.open(LakeSettings(store_url=(tmp_path / "store").as_uri()))


def _folders(lake: Lake, image: str) -> list[Path]:
    assert lake.store.root
    window = layout.window_start_of(lake.clock.now(), lake.clock.settings.window)
    below = (
        layout.journal_prefix(window),
        layout.hour_prefix(window),
        layout.image_prefix(TENANT, image),
    )
    return [lake.store.root / folder for folder in (*ABOVE, *below)]


@pytest.mark.parametrize("kind", STRANGE)
async def test_a_strange_name_is_skipped_and_counted(lake: Lake, kind: str) -> None:
    await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    await commit(lake, "b")
    name, make = STRANGE[kind]
    folders = _folders(lake, image_id("a"))
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        make(f"{folder}/{name}")
    totals = SealerTotals(lake)
    report = await lake.maintenance.run_pass(now=True)
    assert (report.images.rows, report.failed, report.unreadable) == (1, 0, 0)
    assert len((await lake.reader.page(TENANT, 10)).records) == 2
    swept = await Sweeper(lake.store, lake.clock).sweep()
    assert swept.failed == 0
    (gauge,) = [each.value for each in totals.samples() if each.metric is SKIPPED_NAMES]
    assert gauge > 0
    await lake.maintenance.run_pass(now=True)
    assert {row.image_id for row in await rows(lake)} == {image_id("a"), image_id("b")}


@pytest.mark.parametrize("folder", ["@eaDir", "99999999T999999Z"])
async def test_a_folder_of_the_journal_that_is_no_window(lake: Lake, folder: str) -> None:
    await commit(lake, "a")
    await lake.store.put(f"journal/{folder}/SYNO", b"x")
    report = await lake.maintenance.run_pass(now=True)
    assert (report.images.rows, report.failed) == (1, 0)
    assert len((await lake.reader.page(TENANT, 10)).records) == 1
    assert len(lake.store.skipped) == 1
    await lake.store.delete(f"journal/{folder}/SYNO")
    await Sweeper(lake.store, lake.clock).sweep()
    assert len(lake.store.skipped) == 0


@pytest.mark.parametrize(
    "where", ["{day}/{hour}/sub", "{day}/sub", "{day}", "dt=2020-01-01/hour=00"]
)
async def test_a_file_named_like_a_segment_elsewhere_is_no_segment(lake: Lake, where: str) -> None:
    done = await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    key = layout.chain_key(done.record.window_start, 0)
    data, _ = await lake.store.get(key)
    day, hour, name = key.rsplit("/", 3)[1:]
    await lake.store.put(f"lake/images/{where.format(day=day, hour=hour)}/{name}", data)
    assert [r.image_id for r in (await lake.reader.page(TENANT, 10)).records] == [image_id("a")]


async def test_a_name_with_the_form_of_a_window_that_is_no_time(lake: Lake) -> None:
    done = await commit(lake, "a")
    hour = layout.hour_prefix(done.record.window_start)
    for name in ("99999999T999999Z-0.parquet", "99999999T999999Z.parquet"):
        await lake.store.put(f"{hour}/{name}", b"x")
        assert layout.parse_chain_key(f"{hour}/{name}") is None
        assert layout.parse_compacted_key(f"{hour}/{name}") is None
    assert (await lake.sealer.run_pass(now=True)).rows == 1
    assert len((await lake.reader.page(TENANT, 10)).records) == 1


async def test_reading_a_pipe_does_not_block(lake: Lake) -> None:
    assert lake.store.root
    os.mkfifo(lake.store.root / "pipe")
    for work in (lake.store.get("pipe"), lake.store.stream("pipe")):
        with pytest.raises(UnreadableObject, match="pipe is not a regular file"):
            await work
    assert await lake.store.read_many(["pipe", "store.json"]) != [None, None]
