"""`erase` fails, and names what may still hold a row, if it could not remove every row."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lake import layout
from lake.lake import Lake
from lake.settings import LakeSettings
from pixlake.cli.main import app
from tests.lake.clocks import at_age
from tests.lake.samples import TENANT, commit, image_id

JOURNAL_OBJECT = "journal/20261123T100400Z/cut.jsonl"


pytestmark = pytest.mark.usefixtures("no_settings", "store")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a lake with one image."""
    # `no_settings` comes first: fixtures of `usefixtures` are made in their order.
    url = (tmp_path / "store").as_uri()
    monkeypatch.setenv("PIXLAKE_STORE_URL", url)
    monkeypatch.setenv("PIXLAKE_HOME", str(tmp_path))

    async def fill() -> None:
        await commit(await Lake.open(LakeSettings(home=tmp_path, store_url=url)), "a")

    asyncio.run(fill())
    return tmp_path / "store"


def erase(*words: str) -> Result:
    return CliRunner().invoke(app, ["erase", *words, "--yes"])


def test_a_window_that_was_not_sealed_is_named(store: Path) -> None:
    (window,) = (store / layout.JOURNAL).iterdir()
    # A chain that lacks its first file can't be extended.
    segment = store / layout.chain_key(layout.parse_window(window.name), 1)
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"")
    done = erase(f"{TENANT}/{image_id('a')}", "--json")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert (said["erased"], said["failed"]) == (1, 0)
    assert {"name": f"window {window.name}", "code": "not_sealed"} in said["unfinished"]


def test_an_hour_that_lacks_rows_is_named(store: Path) -> None:
    hour = two_hours_before(store)
    segment = store / layout.chain_key(hour, 0)
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"")
    assert "not_complete" in codes_of(hour)


def test_an_hour_that_was_not_compacted_is_named(store: Path) -> None:
    """Neither the segment nor the copy can be read, so nothing is written."""
    hour = two_hours_before(store)
    for key in (layout.chain_key(hour, 0), layout.compacted_key(hour)):
        (store / key).parent.mkdir(parents=True)
        (store / key).write_bytes(b"")
    assert "not_compacted" in codes_of(hour)


def two_hours_before(store: Path) -> datetime:
    """Return the start of an hour that ended before that of the only window."""
    (window,) = (store / layout.JOURNAL).iterdir()
    return layout.hour_of(layout.parse_window(window.name)) - timedelta(hours=2)


def codes_of(hour: datetime) -> set[str]:
    """Erase the image; return the codes by which the command names the compacted hour."""
    done = erase(f"{TENANT}/{image_id('a')}", "--json")
    assert done.exit_code == 1
    name = f"compacted hour of images {layout.window_name(hour)}"
    return {each["code"] for each in json.loads(done.stdout)["unfinished"] if each["name"] == name}


def test_an_unreadable_journal_object_is_named_and_the_others_are_erased(store: Path) -> None:
    unread = store / JOURNAL_OBJECT
    unread.parent.mkdir()
    unread.write_bytes(b'{"image_id": ')
    done = erase("--where", "tenant = 'acme'")
    assert (done.exit_code, done.stdout) == (1, "erased 1 images\n")
    assert f"unreadable_object: {JOURNAL_OBJECT} may still hold rows" in done.stderr


def test_an_image_with_a_damaged_record_is_erased(store: Path) -> None:
    record = store / layout.record_key(TENANT, image_id("a"))
    record.write_bytes(b"")
    done = erase(f"{TENANT}/{image_id('a')}")
    assert (done.exit_code, done.stdout) == (0, "erased 1 images\n")
    assert b'"tombstone"' in record.read_bytes()
    assert list(record.parent.iterdir()) == [record]


@pytest.mark.parametrize("asks", ["--dry-run", "--yes"])
def test_an_hour_that_lacked_rows_when_the_condition_was_asked_is_named(
    store: Path, asks: str
) -> None:
    """The segment of an hour was damaged when the hour was compacted, and is whole again."""

    async def lack_rows() -> str:
        lake = await Lake.open(LakeSettings(store_url=store.as_uri()))
        then = at_age(lake, hours=-4)
        await commit(then, "old")
        await then.sealer.run_pass(now=True)
        segment = min((store / layout.LAKE_IMAGES).rglob("*.parquet"))
        whole = segment.read_bytes()
        segment.write_bytes(b"")
        for hours in (-2.8, -2.1, -1.4):
            await at_age(lake, hours=hours).maintenance.run_pass(now=False)
        segment.write_bytes(whole)
        return segment.name

    name = asyncio.run(lack_rows())
    done = CliRunner().invoke(app, ["erase", "--where", "tenant = 'acme'", asks, "--json"])
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert [each["image_id"] for each in said["images"]] == [image_id("a")]
    parsed = layout.parse_chain_name(name)
    assert parsed is not None
    hour = f"compacted hour of images {layout.window_name(layout.hour_of(parsed[0]))}"
    assert said["unfinished"] == [{"name": hour, "code": "not_complete"}]


def test_nothing_is_left_of_a_whole_lake() -> None:
    done = erase("--where", "tenant = 'acme'", "--json")
    assert (done.exit_code, json.loads(done.stdout)["unfinished"]) == (0, [])
