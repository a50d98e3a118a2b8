"""Story of machines whose wall clocks are wrong for good, ahead or behind, beside right ones.

Doors, sealers, erasers and sweepers run on them while images expire and their names come again.
Some stores refuse their requests: Amazon S3 does from a quarter of an hour on. Others do not look
at the time of a request. Either way, what a machine may do is right by the store's clock.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from lake import layout
from lake.commit.records import Attempt
from lake.errors import LakeError, Unavailable
from lake.lake import Lake
from lake.store.store_settings import StoreSettings
from lake.tables.schema import ImageRecord
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.bucket import Process
from tests.lake.simulation.fleet import rest, run_pass
from tests.lake.simulation.machine import SimulatedMachine
from tests.lake.simulation.sweeping import calm, disturb, sweep_often
from tests.lake.simulation.world import RETENTION, Broken, World, patiently

_HOUR, _DAY = 3600.0, 86_400.0
_EXPIRING, _LIVE, _RIGHT, _WRONG, _ERASED = "ab", "lm", "cdef", "pqrs", "xy"
_MARGIN = StoreSettings().margin
# A window lies in the past by the time of an attempt, a late PUT and errors of clocks.
_OLDEST_WINDOW = timedelta(minutes=35)
_PASSES = 12


async def wrong_clocks(world: World) -> None:
    """Upload, seal, erase and sweep for an hour on right and wrong machines."""
    world.bucket.checks_time = world.dice.random() < 0.7
    right = await world.process("right")
    await _a_week_before(world, right)
    world.bucket.watchers.append(_never_early(world))
    disturb(world, "door", lambda key: key.endswith(layout.RECORD))
    wrong = [await _wrong_machine(world, f"door {number}") for number in range(2)]
    people = [_uploads(world, wrong[number], _WRONG[number::2]) for number in range(2)]
    people += [_right_door(world, right), _again(world, right), _again(world, wrong[0])]
    people += [sweep_often(world, number, await _sweeper(world, number)) for number in range(3)]
    people += [_seal(world, await _wrong_machine(world, "sealer")), _seal(world, right)]
    people += [_erase(world, await _wrong_machine(world, "eraser"))]
    await asyncio.gather(*people)
    calm(world)
    # A machine whose requests are refused can't delete what a refused attempt has left.
    attempts = world.promises.refused
    world.promises.refused = [each for each in attempts if not _is_wrong(each)]
    await rest(world)
    world.check_at_rest()


def _is_wrong(attempt: Attempt) -> bool:
    machine = attempt.started.machine
    return isinstance(machine, SimulatedMachine) and machine.wrong != 0


async def _a_week_before(world: World, right: tuple[Process, Lake]) -> None:
    """Upload images that expire in the story, and the day before it images that do not."""
    for name in _EXPIRING:
        await world.upload(*right, name, b"x")
    await run_pass(right[1], now=True)
    stored = world.record(image_id(_EXPIRING[-1]))
    assert isinstance(stored, ImageRecord)
    due = stored.window_start + RETENTION + _MARGIN
    await asyncio.sleep((due - world.bucket.now()).total_seconds() - _DAY)
    world.promises.acknowledged.clear()
    for name in _LIVE + _ERASED:
        await world.upload(*right, name, b"x")
    await run_pass(right[1], now=True)
    await asyncio.sleep(_DAY - 600)


async def _sweeper(world: World, number: int) -> tuple[Process, Lake]:
    """A sweeper, the first one on a right machine."""
    name = f"sweeper{number}"
    return await (_wrong_machine(world, name) if number else world.process(name))


async def _wrong_machine(world: World, name: str) -> tuple[Process, Lake]:
    """A process on a machine whose wall clock is wrong from the start, or from some moment on."""
    process, lake = await world.process(name)
    wrong = world.dice.choice((-1, 1)) * world.dice.choice(
        (
            world.dice.uniform(10, 170),
            world.dice.uniform(190, 890),
            world.dice.uniform(0.3, 48) * _HOUR,
            world.dice.uniform(7, 30) * _DAY,
        )
    )
    if world.dice.random() < 0.6:
        process.machine.wrong = wrong
    else:
        delay = world.dice.uniform(0, 1500)
        world.loop.call_later(delay, setattr, process.machine, "wrong", wrong)
    return process, lake


async def _uploads(world: World, machine: tuple[Process, Lake], names: str) -> None:
    """Upload images of a wrong machine: each is acknowledged with a fresh window, or refused."""
    for name in names:
        await asyncio.sleep(world.dice.uniform(0, 600))
        try:
            await world.upload(*machine, name, b"x")
        except Unavailable:
            continue
        except LakeError as error:
            raise Broken(f"a wrong clock is blamed on an image: {error}") from error
        _check_window(world, name)


async def _right_door(world: World, machine: tuple[Process, Lake]) -> None:
    """Upload images of a right machine, which no wrong one may hinder."""
    for name in _RIGHT:
        await asyncio.sleep(world.dice.uniform(0, 300))
        try:
            await world.upload(*machine, name, b"x")
        except LakeError as error:
            raise Broken("a machine whose clock is wrong hinders another") from error
        _check_window(world, name)


async def _again(world: World, machine: tuple[Process, Lake]) -> None:
    """Use the names of the expired images again, as soon as they are free."""
    await asyncio.sleep(world.dice.uniform(500, 1000))
    for _ in range(8):
        name = world.dice.choice(_EXPIRING)
        if await patiently(world.upload(*machine, name, b"x"), 900):
            _check_window(world, name)
        await asyncio.sleep(world.dice.uniform(0, 150))


async def _seal(world: World, machine: tuple[Process, Lake]) -> None:
    for _ in range(_PASSES):
        await patiently(run_pass(machine[1], now=world.dice.random() < 0.3), 600)
        await asyncio.sleep(world.dice.uniform(20, 300))


async def _erase(world: World, machine: tuple[Process, Lake]) -> None:
    for name in _ERASED:
        await asyncio.sleep(world.dice.uniform(0, 600))
        world.erasing.add(name)
        await patiently(world.erase(*machine, name), 60)


def _check_window(world: World, name: str) -> None:
    """Check that the row of an acknowledged image is neither of the past nor of the future."""
    stored = world.record(image_id(name))
    if not isinstance(stored, ImageRecord):
        return
    written = world.bucket.objects[layout.record_key(TENANT, image_id(name))][1].modified
    if written - stored.window_start > _OLDEST_WINDOW:
        raise Broken("acknowledged with a window in the past")
    if stored.window_start - written > world.times.clock_difference:
        raise Broken("acknowledged with a window in the future")


def _never_early(world: World) -> Callable[[str], None]:
    """Watcher that fails if a record that was not erased is deleted before its image expired."""
    known: dict[str, ImageRecord] = {}

    def watch(key: str) -> None:
        for name in _EXPIRING + _LIVE + _RIGHT + _WRONG:
            if key != layout.record_key(TENANT, image_id(name)):
                continue
            stored = world.record(image_id(name))
            before = known.pop(key, None)
            if isinstance(stored, ImageRecord):
                known[key] = stored
            early = before and world.kept.expires(before.window_start) > world.bucket.now()
            is_same = (
                before and isinstance(stored, ImageRecord) and stored.attempt == before.attempt
            )
            if early and not is_same and world.failure is None:
                world.failure = Broken("an image was deleted before it expired")

    for name in _EXPIRING + _LIVE:
        watch(layout.record_key(TENANT, image_id(name)))
    return watch
