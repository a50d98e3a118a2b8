"""A key that refuses PUT costs itself only: a watermark, the note of a sweep, a copy."""

import logging
from datetime import timedelta

import pytest

from lake import layout
from lake.errors import StoreDenied
from lake.lake import Lake
from lake.retention.sweeper import Sweeper
from lake.seal.sizes import SealerSizes
from lake.settings import LakeSettings
from lake.store.object_store import Buffer
from tests.lake.clocks import ShiftedClock, at, at_age
from tests.lake.samples import commit, keys, rows


@pytest.fixture
async def lake() -> Lake:
    return await Lake.open(LakeSettings(store_url="memory://"))


def deny(lake: Lake, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """Let no process write below this folder, or this key."""
    create, replace = lake.store.create, lake.store.replace

    def check(key: str) -> None:
        if key.startswith(folder):
            raise StoreDenied(f"{key} is denied")

    async def created(key: str, data: Buffer) -> str:
        check(key)
        return await create(key, data)

    async def replaced(key: str, data: Buffer, etag: str) -> str:
        check(key)
        return await replace(key, data, etag)

    monkeypatch.setattr(lake.store, "create", created)
    monkeypatch.setattr(lake.store, "replace", replaced)


async def test_a_watermark_that_is_refused_costs_no_copy(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start = layout.hour_of(lake.clock.now()) + timedelta(days=1)
    await commit(at(lake, start), "a")
    later = at(lake, start + timedelta(hours=2))
    deny(lake, monkeypatch, layout.watermark_key())
    with caplog.at_level(logging.WARNING):
        report = await later.maintenance.run_pass()
    assert (report.images.rows, report.compacted.files, report.compacted.failed) == (1, 1, 1)
    assert [record.message for record in caplog.records] == ["watermark not advanced"]
    # The hours are not compared again before a pause is over.
    assert (await later.maintenance.run_pass()).compacted.hours == 0


async def test_a_copy_that_is_refused_keeps_no_row_of_its_window(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = layout.hour_of(lake.clock.now()) + timedelta(days=1)
    await commit(at(lake, start), "a")
    await at(lake, start + timedelta(hours=2)).maintenance.run_pass()
    late = at(lake, start)
    for name in "bc":
        await commit(late, name)
    small = SealerSizes(batch_bytes=1, wave_bytes=1)
    later = at(lake, start + timedelta(hours=2, minutes=2), sizes=small)
    with monkeypatch.context() as patch:
        deny(lake, patch, layout.compacted_prefix(start))
        assert (await later.maintenance.run_pass()).images.failed == 1
        assert len(await rows(lake)) == 3
        assert len(await keys(lake, layout.JOURNAL)) == 2
    assert (await later.maintenance.run_pass()).failed == 0
    assert await keys(lake, layout.JOURNAL) == set()


async def test_a_sweeper_that_cannot_note_its_time_goes_by_its_memory(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await commit(lake, "a")
    clock = at_age(lake, days=7).clock
    assert isinstance(clock, ShiftedClock)
    sweeper = Sweeper(lake.store, clock)
    await sweeper.sweep()
    deny(lake, monkeypatch, layout.ACCEPTED_TIME)
    swept = 0
    for hours in (20, 40):
        clock.shift = timedelta(days=7, hours=hours)
        swept += (await sweeper.sweep()).images
    assert swept == 1
