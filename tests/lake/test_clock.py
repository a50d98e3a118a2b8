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
from tests.lake.clocks import TestMachine, lake_on
from tests.lake.samples import TENANT, commit, image_id, record

SETTINGS = LakeSettings(store_url="memory://")
WEEK = 7 * 86_400.0


async def settled() -> None:
    """Wait for the renewal in the background."""
    renewals = asyncio.all_tasks() - {asyncio.current_task()}
    assert renewals
    await asyncio.wait(renewals)


async def test_an_upload_after_a_long_sleep_has_a_fresh_window() -> None:
    """A clock that is never set stood still for the eight days of the sleep."""
    machine = TestMachine()
    lake = await lake_on(machine, SETTINGS)
    before = lake.clock.now()
    machine.wall_by += 8 * 86_400
    machine.store_by += 8 * 86_400
    await commit(lake, "holiday")
    stored = await lake.reader.record(TENANT, image_id("holiday"))
    assert stored.window_start - before > timedelta(days=8, minutes=-2)


@pytest.mark.parametrize(("elapsed", "wall"), [(0, 60), (0, -60), (60, 0), (7200, 7200)])
async def test_a_reading_is_replaced_first_if_the_clocks_ran_apart_or_it_is_old(
    elapsed: float, wall: float
) -> None:
    machine = TestMachine()
    lake = await lake_on(machine, SETTINGS)
    before = lake.clock.now()
    machine.elapsed_by += elapsed
    machine.wall_by += wall - (7200 if wall == 7200 else 0)
    await lake.clock.fresh()
    # The store's clock did not run meanwhile, so a renewed reading is about the old one.
    assert abs(lake.clock.now() - before) < timedelta(seconds=5)


async def test_uploads_do_not_wait_for_a_renewal() -> None:
    machine = TestMachine()
    lake = await lake_on(machine, SETTINGS)
    answered = asyncio.Event()
    put = lake.store.put
    asked: list[str] = []

    async def slow(key: str, data: Buffer) -> str:
        if key.startswith(layout.PROBE):
            asked.append(key)
            await answered.wait()
        return await put(key, data)

    lake.store.put = slow  # type: ignore[method-assign]
    machine.let_pass(301)
    assert (await commit(lake, "a")).outcome == "created"
    assert (await commit(lake, "b")).outcome == "created"
    assert await lake.store.objects(layout.PROBE) == []
    answered.set()
    await settled()
    assert (await commit(lake, "c")).outcome == "created"
    assert len(asked) == 1, "one renewal, and its reading is in use"
    assert not await lake.store.objects(layout.PROBE)


@pytest.mark.parametrize("error", [StoreUnavailable("503"), StoreFull("no room")])
async def test_a_reading_is_used_for_an_hour_while_it_cannot_be_renewed(error: Exception) -> None:
    machine = TestMachine()
    lake = await lake_on(machine, SETTINGS)

    async def failing(*_: object) -> str:
        raise error

    lake.store.put = failing  # type: ignore[method-assign,assignment]
    machine.let_pass(301)
    await lake.clock.fresh()
    await settled()
    await lake.clock.fresh()
    await settled()
    machine.let_pass(3601)
    with pytest.raises(type(error)):
        await lake.clock.fresh()


async def test_a_store_of_a_later_version_stops_all_after_its_renewal() -> None:
    machine = TestMachine()
    lake = await lake_on(machine, SETTINGS)
    await lake.store.put(layout.STORE, b'{"format": 99}')
    machine.let_pass(301)
    await lake.clock.fresh()
    await settled()
    with pytest.raises(StoreTooNew):
        await lake.clock.fresh()


async def test_a_machine_whose_signatures_would_hold_for_too_long_is_refused() -> None:
    machine = TestMachine(wall_by=181)
    with pytest.raises(StoreUnavailable, match="ahead of the store's") as refused:
        await lake_on(machine, SETTINGS)
    assert refused.value.limit == 180


async def test_a_folder_has_no_signatures(tmp_path: object) -> None:
    store = ObjectStore.open(LakeSettings(store_url=f"file://{tmp_path}"))
    lake = await Lake.open(SETTINGS)
    await StoreClock(store, lake.clock.settings, machine=TestMachine(wall_by=181)).fresh()


async def test_an_attempt_of_before_a_sleep_sends_nothing_more() -> None:
    machine = TestMachine()
    lake = await lake_on(machine, SETTINGS)
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    made = record(attempt, b"pixels")
    machine.sleep(WEEK)
    with pytest.raises(AttemptTooOld):
        await lake.committer.commit(attempt, made, {made.original_key: b"pixels"})
    assert not await lake.store.objects(layout.IMAGES)
