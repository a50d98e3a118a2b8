"""The store's clock: sleep, pauses, wall clocks that are set, and renewal in the background."""

import asyncio
from datetime import timedelta

import pytest

from lake import layout
from lake.errors import AttemptTooOld, StoreFull, StoreTooNew, StoreUnavailable
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.store.clock import StoreClock
from lake.store.object_store import Buffer, ObjectStore
from tests.lake.clocks import TestMachine, grow_old
from tests.lake.samples import TENANT, commit, image_id, record

SETTINGS = LakeSettings(store_url="memory://")
WEEK = 7 * 86_400.0


async def lake_on(machine: TestMachine) -> Lake:
    """A lake in memory whose clock is on the given machine."""
    lake = await Lake.open(SETTINGS)
    clock = StoreClock(lake.store, lake.clock.settings, machine=machine)
    await clock.fresh()
    return Lake.wire(lake.store, clock, SETTINGS)


async def settled(clock: StoreClock) -> None:
    """Wait for the renewal in the background."""
    assert clock._renewal
    await clock._renewal


async def test_an_upload_after_a_long_sleep_has_a_fresh_window() -> None:
    """The reading is moved back as it would be by a clock that stood still for eight days."""
    lake = await Lake.open(SETTINGS)
    await lake.clock.fresh()
    lake.clock._reading -= timedelta(days=8)
    await commit(lake, "holiday")
    stored = await lake.reader.record(TENANT, image_id("holiday"))
    assert lake.clock.now() - stored.window_start < timedelta(minutes=2)


@pytest.mark.parametrize(("elapsed", "wall"), [(0, 60), (0, -60), (60, 0), (7200, 7200)])
async def test_a_reading_is_replaced_first_if_the_clocks_ran_apart_or_it_is_old(
    elapsed: float, wall: float
) -> None:
    machine = TestMachine()
    lake = await lake_on(machine)
    before = lake.clock.now()
    machine.elapsed_by += elapsed
    machine.wall_by += wall - (7200 if wall == 7200 else 0)
    await lake.clock.fresh()
    # The store's clock did not run meanwhile, so a renewed reading is about the old one.
    assert abs(lake.clock.now() - before) < timedelta(seconds=5)


async def test_uploads_do_not_wait_for_a_renewal() -> None:
    lake = await Lake.open(SETTINGS)
    answered = asyncio.Event()
    put = lake.store.put

    async def slow(key: str, data: Buffer) -> str:
        if key.startswith(layout.PROBE):
            await answered.wait()
        return await put(key, data)

    lake.store.put = slow  # type: ignore[method-assign]
    grow_old(lake.clock, 301)
    before = lake.clock._read_at
    assert (await commit(lake, "a")).outcome == "created"
    assert (await commit(lake, "b")).outcome == "created"
    assert lake.clock._read_at is before
    answered.set()
    await settled(lake.clock)
    assert lake.clock._read_at is not before
    assert not await lake.store.objects(layout.PROBE)


@pytest.mark.parametrize("error", [StoreUnavailable("503"), StoreFull("no room")])
async def test_a_reading_is_used_for_an_hour_while_it_cannot_be_renewed(error: Exception) -> None:
    lake = await Lake.open(SETTINGS)

    async def failing(*_: object) -> str:
        raise error

    lake.store.put = failing  # type: ignore[method-assign,assignment]
    grow_old(lake.clock, 301)
    await lake.clock.fresh()
    await settled(lake.clock)
    await lake.clock.fresh()
    grow_old(lake.clock, 3601)
    with pytest.raises(type(error)):
        await lake.clock.fresh()


async def test_a_store_of_a_later_version_stops_all_after_its_renewal() -> None:
    lake = await Lake.open(SETTINGS)
    await lake.store.put(layout.STORE, b'{"format": 99}')
    grow_old(lake.clock, 301)
    await lake.clock.fresh()
    await settled(lake.clock)
    with pytest.raises(StoreTooNew):
        await lake.clock.fresh()


async def test_a_machine_whose_signatures_would_hold_for_too_long_is_refused() -> None:
    machine = TestMachine(wall_by=181)
    with pytest.raises(StoreUnavailable, match="ahead of the store's") as refused:
        await lake_on(machine)
    assert refused.value.limit == 180


async def test_a_folder_has_no_signatures(tmp_path: object) -> None:
    store = ObjectStore.open(LakeSettings(store_url=f"file://{tmp_path}"))
    lake = await Lake.open(SETTINGS)
    await StoreClock(store, lake.clock.settings, machine=TestMachine(wall_by=181)).fresh()


async def test_an_attempt_of_before_a_sleep_sends_nothing_more() -> None:
    machine = TestMachine()
    lake = await lake_on(machine)
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    made = record(attempt, b"pixels")
    machine.sleep(WEEK)
    with pytest.raises(AttemptTooOld):
        await lake.committer.commit(attempt, made, {made.original_key: b"pixels"})
    assert not await lake.store.objects(layout.IMAGES)
