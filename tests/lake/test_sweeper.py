"""Expiry: images are hidden to the second and deleted an hour later; no other object goes."""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lake import layout
from lake.commit.journal import Journal
from lake.errors import (
    ImageErased,
    ImageExpired,
    ImageExpiring,
    ImageNotFound,
    StoreDenied,
    StoreFull,
)
from lake.lake import Lake
from lake.read.views import Views
from lake.retention.file_ends import end_of_file
from lake.retention.sweep_report import SweepReport
from lake.retention.sweeper import Sweeper
from lake.settings import LakeSettings
from lake.store.conditional_delete import Deletion
from lake.store.object_meta import Stored
from lake.store.object_store import Buffer, ObjectStore
from lake.tables.rows import encode_chain_file, to_table
from tests.lake.clocks import at, at_age
from tests.lake.conftest import settings_for
from tests.lake.damage import audit, found
from tests.lake.samples import TENANT, commit, image_id, image_objects, keys, record

RETENTION = timedelta(days=7)
MARGIN = timedelta(hours=1)


def sweeper(lake: Lake) -> Sweeper:
    return Sweeper(lake.store, lake.clock)


async def sweep(lake: Lake) -> SweepReport:
    return await sweeper(lake).sweep()


async def test_an_image_goes_an_hour_after_its_retention_and_not_before(lake: Lake) -> None:
    window_start = (await commit(lake, "a")).record.window_start
    await lake.sealer.run_pass(now=True)
    before = await keys(lake)
    second = timedelta(seconds=1)
    assert await sweep(at(lake, window_start + RETENTION + MARGIN - 3 * second)) == SweepReport()
    assert await keys(lake) == before
    report = await sweep(at(lake, window_start + RETENTION + MARGIN + second))
    assert report == SweepReport(images=1, image_objects=2, lake=1)
    assert await keys(lake) == set()
    with pytest.raises(ImageNotFound):
        await lake.reader.record(TENANT, image_id("a"))


async def test_younger_images_stay(lake: Lake) -> None:
    await commit(lake, "old")
    newer = at_age(lake, days=3)
    await commit(newer, "new")
    await newer.sealer.run_pass(now=True)
    report = await sweep(at_age(lake, days=7, seconds=3700))
    assert (report.images, report.lake, report.orphans) == (1, 1, 0)
    assert len(await image_objects(lake, "new")) == 3
    assert await image_objects(lake, "old") == set()


async def test_hidden_to_the_second_everywhere(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = settings_for("folder", tmp_path, request)
    lake = await Lake.open(settings)
    window_start = (await commit(lake, "a")).record.window_start
    await lake.sealer.run_pass(now=True)
    last, first = (window_start + RETENTION - timedelta(seconds=1), window_start + RETENTION)
    assert (await at(lake, last).reader.record(TENANT, image_id("a"))).window_start == window_start
    assert len((await at(lake, last).reader.page(TENANT, 9)).records) == 1
    with pytest.raises(ImageExpired):
        await at(lake, first).reader.record(TENANT, image_id("a"))
    assert (await at(lake, first).reader.page(TENANT, 9)).records == []

    # The view compares with now(), so the row must expire within two seconds by the same clock.
    now = datetime.now(UTC).replace(microsecond=0)
    dying = await at_window(lake, "b", now - RETENTION + timedelta(seconds=2))
    table = Views.open(settings)
    sql = f"SELECT count(*) AS n, now() AS t FROM images WHERE image_id = '{image_id('b')}'"
    seen: list[dict[str, Any]] = []
    while not seen or seen[-1]["n"]:
        seen += table.query(sql).to_pylist()
        await asyncio.sleep(0.05)
    assert all(one["n"] == (one["t"] < dying + RETENTION) for one in seen)


async def at_window(lake: Lake, name: str, window_start: datetime) -> datetime:
    """Write a segment of this window with one row."""
    made = record(await lake.committer.begin(TENANT, image_id(name)), window_start=window_start)
    await lake.store.put(layout.chain_key(window_start, 0), encode_chain_file(to_table([made])))
    return window_start


async def test_orphans_go_after_a_day(lake: Lake) -> None:
    named = {(await commit(lake, "a")).record.original_key}
    loser = layout.object_key(TENANT, image_id("a"), "320", "f" * 16, "jpg")
    crashed = layout.object_key(TENANT, image_id("b"), "original", "e" * 16, "jpg")
    for key in (loser, crashed, "images/what/is/this"):
        await lake.store.put(key, b"-")
    assert await sweep(at_age(lake, seconds=86_000)) == SweepReport()
    assert (await sweep(at_age(lake, seconds=86_500))).orphans == 3
    assert named < await keys(lake, "images")
    assert len(await image_objects(lake, "a")) == 3
    assert await image_objects(lake, "b") == set()


async def test_leftovers_of_probes_and_of_killed_processes_go(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    lake = await Lake.open(settings_for("folder", tmp_path, request))
    window_start = (await commit(lake, "a")).record.window_start
    await lake.store.put(f"{layout.PROBE}/left", b"")
    root = tmp_path / "store"
    folder = root / layout.journal_prefix(window_start)
    old, young = folder / "x.arrow#1", folder / "y.arrow#2"
    for staged in (old, young):
        staged.write_bytes(b"half")
    os.utime(old, times=(time.time() - 90_000,) * 2)
    before = await keys(lake)
    assert str(old.relative_to(root)) not in before
    report = await sweep(at_age(lake, seconds=3700))
    assert report == SweepReport(leftovers=2)
    assert (old.exists(), young.exists()) == (False, True)
    assert await keys(lake) == before - {f"{layout.PROBE}/left"}


async def test_the_journal_and_the_lake_go_by_their_names(lake: Lake) -> None:
    done = await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    later = at_age(lake, days=5)
    # A writer that was paused journals the row again, and the file is rewritten: both objects are
    # younger than the window.
    await Journal(lake.store).append(done.record)
    await later.eraser.erase(TENANT, image_id("a"))
    report = await sweep(at_age(lake, days=7, seconds=3700))
    assert (report.journal, report.lake, report.images) == (2, 1, 0)
    assert {key.split("/")[0] for key in await keys(lake)} == {"audit-log", "images"}
    week_later = at_age(lake, days=12, seconds=3700)
    await Sweeper(week_later.store, week_later.clock, accept_time=True).sweep()
    assert {key.split("/")[0] for key in await keys(lake)} == {"audit-log"}


async def test_a_tombstone_stays_for_the_retention_after_the_erasure(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    """A message that is read again, or an upload that is sent again, does not bring it back."""
    await commit(lake, "a")
    soon = at_age(lake, days=6, hours=23)
    await soon.eraser.erase(TENANT, image_id("a"))
    await soon.maintenance.run_pass(now=True)
    erased_at = soon.clock.now()
    with pytest.raises(ImageErased):  # 65 minutes after the erasure
        await commit(at_age(lake, days=7, minutes=5), "a")
    later = timedelta(days=13, hours=22)
    await sweep(at_age(lake, days=13, hours=22))  # segment and journal go with their window
    assert found(await audit(lake, lake_settings, after=later)) == {}
    await sweep(at(lake, erased_at + RETENTION + MARGIN - timedelta(minutes=1)))
    assert await image_objects(lake, "a") == {"record.json"}
    with pytest.raises(ImageErased):
        await commit(at_age(lake, days=13, hours=22), "a")
    await sweep(at(lake, erased_at + RETENTION + MARGIN + timedelta(seconds=1)))
    assert await image_objects(lake, "a") == set()


async def test_an_unreadable_record_harms_nobody_and_goes_by_its_age(lake: Lake) -> None:
    await commit(lake, "a")
    await commit(lake, "b")
    key = layout.record_key(TENANT, image_id("a"))
    await lake.store.put(key, b"{}")
    assert (await sweep(at_age(lake, days=7))).failed == 1
    report = await sweep(at_age(lake, days=7, seconds=3700))
    assert (report.images, report.image_objects, report.failed) == (2, 4, 0)


class Meddler(ObjectStore):
    """A store in which an upload comes just before or just after the sweeper's marker."""

    lake: Lake
    when: str
    outcome: object = None

    async def replace(self, key: str, data: Buffer, etag: str) -> str:
        if self.when == "before":
            await self._upload()
        result = await super().replace(key, data, etag)
        if self.when == "after":
            await self._upload()
        return result

    async def _upload(self) -> None:
        try:
            self.outcome = (await commit(self.lake, "a", b"new life")).outcome
        except ImageExpiring as error:
            self.outcome = error


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_name_that_is_taken_over_meanwhile_keeps_its_new_image(
    lake: Lake, lake_settings: LakeSettings, when: str
) -> None:
    await commit(lake, "a")
    later = at_age(lake, days=7, seconds=3700)
    meddler = Meddler.open(lake_settings)
    meddler.lake, meddler.when = later, when
    await Sweeper(meddler, later.clock).sweep()
    if when == "before":
        assert meddler.outcome == "created"
    else:
        # The upload is told to retry soon and leaves nothing; its retry makes a new image.
        assert isinstance(meddler.outcome, ImageExpiring)
        assert float(str(meddler.outcome.value)) < 600
        assert await image_objects(lake, "a") == set()
        assert (await commit(later, "a", b"new life")).outcome == "created"
    record = await later.reader.record(TENANT, image_id("a"))
    assert (await lake.store.get(record.original_key))[0] == b"new life"
    # The next sweep leaves the new image as it is.
    assert (await sweep(later)).failed == 0
    assert (await later.reader.record(TENANT, image_id("a"))) == record


class Denied(ObjectStore):
    """A store that lets nobody list the journal."""

    async def level(self, prefix: str) -> tuple[list[str], list[Stored]]:
        if prefix.startswith(layout.JOURNAL):
            raise StoreDenied(prefix)
        return await super().level(prefix)


async def test_a_folder_that_cannot_be_listed_keeps_no_other(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    later = at_age(lake, days=7, seconds=3700)
    report = await Sweeper(Denied.open(lake_settings), later.clock).sweep()
    assert report == SweepReport(images=1, image_objects=2, lake=1, failed=1)


class Full(ObjectStore):
    """A store without room for anything but empty objects and markers of the sweeper."""

    async def create(self, key: str, data: Buffer) -> str:
        raise StoreFull(f"{key}: {len(data)} bytes")


async def test_a_full_store_is_swept(lake: Lake, lake_settings: LakeSettings) -> None:
    await commit(lake, "a")
    later = at_age(lake, days=7, seconds=3700)
    report = await Sweeper(Full.open(lake_settings), later.clock).sweep()
    assert (report.images, report.failed) == (1, 0)


class Died(Exception):
    """The sweeper's process ends here."""


class Dying(ObjectStore):
    """A store whose sweeper dies between its marker and the DELETE of the record."""

    async def prepare_delete(self, key: str, etag: str) -> Deletion:
        if key.endswith(layout.RECORD):
            raise Died
        return await super().prepare_delete(key, etag)


@pytest.mark.parametrize("taken", [False, True])
async def test_a_sweeper_that_dies_after_its_marker_is_finished_by_the_next(
    lake: Lake, lake_settings: LakeSettings, taken: bool
) -> None:
    first = (await commit(lake, "a")).record
    later = at_age(lake, days=7, seconds=3700)
    with pytest.raises(Died):
        await Sweeper(Dying.open(lake_settings), later.clock).sweep()
    with pytest.raises(ImageExpired):
        await later.reader.record(TENANT, image_id("a"))
    with pytest.raises(ImageExpiring):
        await commit(later, "a", b"new life")
    if taken:
        soon = at_age(lake, days=7, seconds=3700 + 600)
        assert (await commit(soon, "a", b"new life")).outcome == "created"
    next_sweep = at_age(lake, days=7, seconds=3700 + 3700)
    assert (await sweep(next_sweep)).failed == 0
    left = await image_objects(lake, "a")
    assert not {first.original_key.rsplit("/", 1)[-1]} & left
    assert len(left) == (3 if taken else 0)


async def test_two_sweepers_at_once(lake: Lake) -> None:
    for n in range(20):
        await commit(lake, f"i{n}")
    later = at_age(lake, days=7, seconds=3700)
    done = await asyncio.gather(*(sweep(later) for _ in range(3)))
    assert sum(report.images for report in done) == 20
    assert await keys(lake, "images") == set()


@pytest.mark.parametrize(
    ("key", "end"),
    [
        ("lake/images/dt=2026-11-23/hour=10/20261123T100400Z-0.parquet", "2026-11-23T10:04"),
        ("lake/rejections/dt=2026-11-23/hour=10/anything.parquet", "2026-11-23T11:00"),
        ("lake/images/dt=2026-13-23/hour=10/x.parquet", None),
        ("lake/current.json", None),
    ],
)
def test_files_tell_their_time_by_name(key: str, end: str | None) -> None:
    expected = datetime.fromisoformat(end).replace(tzinfo=UTC) if end else None
    assert end_of_file(key) == expected
