"""A wrong clock: what it has dated ahead does not wait, and nothing that is alive is deleted."""

from datetime import timedelta
from pathlib import Path

import pytest

from lake import layout
from lake.errors import LakeHeld
from lake.lake import Lake
from lake.retention.sweeper import Sweeper
from lake.seal.watermark import Watermark, read_watermark, write_watermark
from lake.settings import LakeSettings
from lake.store.accepted_time import TimeJumped, accept_time
from lake.tables.rows import decode_chain_file
from lake.tables.tables import IMAGE_TABLE
from tests.lake.clocks import ShiftedClock, at, at_age
from tests.lake.damage import audit, found
from tests.lake.samples import commit, image_id, keys, rows

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_IMAGES = IMAGE_TABLE.folders


@pytest.fixture
async def lake() -> Lake:
    return await Lake.open(LakeSettings(store_url="memory://"))


async def test_a_window_that_is_dated_ahead_is_sealed_now(lake: Lake) -> None:
    done = await commit(at_age(lake, days=2), "a")
    await commit(lake, "b")
    assert (await lake.sealer.run_pass()).rows == 1
    assert await rows(lake) == [done.record]


async def test_a_claim_that_is_dated_ahead_does_not_hold_the_watermark(lake: Lake) -> None:
    start = layout.hour_of(lake.clock.now()) + _DAY
    await commit(at(lake, start + timedelta(minutes=5)), "a")
    await at(lake, start + _DAY + 2 * _HOUR).maintenance.run_pass()
    claimed, _ = await read_watermark(lake.store, _IMAGES)
    assert claimed.since is not None
    assert claimed.since > start + _DAY
    for hours in (2, 3):
        await at(lake, start + hours * _HOUR).maintenance.run_pass()
    watermark, _ = await read_watermark(lake.store, _IMAGES)
    assert watermark.complete_before == start + _HOUR


async def test_a_hold_that_is_dated_ahead_lasts_as_long_as_any_hold(lake: Lake) -> None:
    await commit(lake, "a")
    ahead = at_age(lake, days=9).maintenance.of(IMAGE_TABLE).compactor.watermark_advance
    await ahead.hold()
    assert (await lake.sealer.run_pass(now=True)).failed == 1
    # The cutover that wrote the hold does not write beside the sealers.
    with pytest.raises(LakeHeld):
        await ahead.check_held()
    assert (await at_age(lake, hours=3.1).sealer.run_pass()).rows == 1


async def test_readers_of_a_watermark_ahead_see_fresh_rows(lake: Lake) -> None:
    hour = layout.hour_of(lake.clock.now())
    await write_watermark(lake.store, _IMAGES, Watermark(hour + _DAY), None)
    await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    (key,) = await keys(lake, _IMAGES.compacted)
    data, _ = await lake.store.get(key)
    assert decode_chain_file(key, data)["image_id"].to_pylist() == [image_id("a")]


async def test_a_pause_does_not_last_until_a_time_that_was_wrong(lake: Lake) -> None:
    later = at_age(lake, days=2)
    assert isinstance(later.clock, ShiftedClock)
    key = layout.journal_key(layout.hour_of(lake.clock.now()), "x")
    await lake.store.put(key, b"half")
    assert (await later.sealer.run_pass(now=True)).unreadable == 1
    later.clock.shift = timedelta(0)
    assert (await later.sealer.run_pass(now=True)).unreadable == 1


async def test_a_clock_days_ahead_deletes_nothing(lake: Lake) -> None:
    await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    await commit(lake, "b")
    await Sweeper(lake.store, lake.clock).sweep()
    before = await keys(lake)
    ahead = at_age(lake, days=9)
    with pytest.raises(TimeJumped) as refused:
        await Sweeper(ahead.store, ahead.clock).sweep()
    assert refused.value.limit == _DAY.total_seconds()
    assert (await ahead.sealer.run_pass(now=True)).failed == 1
    assert await keys(lake) == before
    # The clock is right again.
    assert (await Sweeper(lake.store, lake.clock).sweep()).images == 0


async def test_an_audit_calls_nothing_overdue_that_sweepers_refuse_to_delete(
    tmp_path: Path,
) -> None:
    settings = LakeSettings(store_url=(tmp_path / "store").as_uri())
    lake = await Lake.open(settings)
    await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    await Sweeper(lake.store, lake.clock).sweep()
    after = timedelta(days=9)
    # No sweeper has run for nine days.
    assert "overdue" in found(await audit(lake, settings, after=after))
    ahead = at_age(lake, days=9)
    with pytest.raises(TimeJumped):
        await Sweeper(ahead.store, ahead.clock).sweep()
    assert "overdue" not in found(await audit(lake, settings, after=after))
    # Sweepers have not refused it again, so none runs.
    assert "overdue" in found(await audit(lake, settings, after=after + timedelta(hours=3)))


async def test_an_operator_confirms_a_time(lake: Lake) -> None:
    await commit(lake, "a")
    await Sweeper(lake.store, lake.clock).sweep()
    later = at_age(lake, days=9)
    with pytest.raises(TimeJumped):
        await Sweeper(later.store, later.clock, dry_run=True).sweep()
    assert (await Sweeper(later.store, later.clock, accept_time=True).sweep()).images == 1
    assert (await Sweeper(later.store, later.clock).sweep()).failed == 0


async def test_a_time_is_accepted_when_it_has_gone_on_for_a_day(lake: Lake) -> None:
    await commit(lake, "a")
    await accept_time(lake.store, lake.clock)
    for hours in (0, 12, 23):
        with pytest.raises(TimeJumped):
            await accept_time(lake.store, at_age(lake, days=9, hours=hours).clock)
    later = at_age(lake, days=10, hours=1)
    assert (await Sweeper(later.store, later.clock).sweep()).images == 1


async def test_two_jumps_do_not_confirm_each_other(lake: Lake) -> None:
    await accept_time(lake.store, lake.clock)
    for days in (9, 11, 13):
        with pytest.raises(TimeJumped):
            await accept_time(lake.store, at_age(lake, days=days).clock)


async def test_a_damaged_accepted_time_counts_from_when_it_was_written(lake: Lake) -> None:
    await lake.store.put(layout.ACCEPTED_TIME, b"")
    with pytest.raises(TimeJumped):
        await accept_time(lake.store, at_age(lake, days=2).clock)
    await accept_time(lake.store, lake.clock)
