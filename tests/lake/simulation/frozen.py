"""Story of a process that stands still for longer than every deadline, at any point of its work.

All clocks go on meanwhile, and so do the other processes: they upload the same names again, erase,
seal, compact and sweep. Then the process continues where it stood.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from lake.errors import LakeError
from lake.lake import Lake
from lake.retention.sweeper import Sweeper
from lake.tables.schema import ImageRecord
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.bucket import Process
from tests.lake.simulation.fleet import rest, run_pass
from tests.lake.simulation.world import World, patiently

_HOUR, _DAY = 3600.0, 86_400.0
_NAMES = "abc"
_FREEZES = (1.1 * _DAY, 1.1 * _DAY, 3 * _DAY, 7.1 * _DAY, 9 * _DAY)
# Name that only the frozen writer uploads, so that nothing replaces what it sends.
_OWN = "d"
# Seconds until the freeze, within the work of each role.
_WORK = 0.6


async def frozen(world: World) -> None:
    """A writer, an eraser, a sealer or a sweeper stands still for days."""
    people = await world.process("writer")
    for name in _NAMES[:2]:
        await world.upload(*people, name, b"x")
    if world.dice.random() < 0.5:
        await run_pass((await world.process("first sealer"))[1], now=True)
    victims = [await _victim(world) for _ in range(world.dice.choice((1, 1, 2)))]
    ends = world.bucket.now().timestamp() + max(seconds for _, seconds in victims) + _HOUR
    _, maintenance = await world.process("maintenance")
    sweeper = Sweeper(maintenance.store, maintenance.clock)
    while world.bucket.now().timestamp() < ends:
        await _some_hours(world, maintenance, sweeper)
    await asyncio.gather(*(task for task, _ in victims))
    await _some_hours(world, maintenance, sweeper)
    _forget_expired(world)
    await rest(world)
    _forget_expired(world)
    world.check_at_rest()


async def _victim(world: World) -> tuple[asyncio.Task[bool | None], float]:
    """Start the work of a process, and freeze the process in it; returns the work."""
    role = world.dice.choice(("writer", "writer", "eraser", "sealer", "sweeper"))
    process, lake = await world.process(f"frozen {role}")
    await patiently(lake.clock.fresh(), 60)
    seconds = world.dice.choice(_FREEZES)
    task = world.loop.create_task(patiently(_work(world, role, process, lake), 30 * _DAY))
    world.loop.call_later(world.dice.uniform(0, _WORK), _freeze, world, process, seconds)
    return task, seconds


def _work(world: World, role: str, process: Process, lake: Lake) -> Coroutine[Any, Any, None]:
    name = world.dice.choice((*_NAMES, _OWN, _OWN, _OWN))
    if role == "writer":
        return world.upload(process, lake, name, b"x")
    if role == "eraser":
        return _erase(world, lake)
    return run_pass(lake, now=True) if role == "sealer" else _sweep(Sweeper(lake.store, lake.clock))


def _freeze(world: World, process: Process, seconds: float) -> None:
    process.paused_until = world.loop.time() + seconds


async def _some_hours(world: World, maintenance: Lake, sweeper: Sweeper) -> None:
    """Let the other processes work, and some hours pass."""
    dice = world.dice
    if dice.random() < 0.3:
        people = await world.process("writer")
        await patiently(world.upload(*people, dice.choice(_NAMES), b"x"), 60)
    if dice.random() < 0.05:
        await patiently(_erase(world, (await world.process("eraser"))[1]), 60)
    if dice.random() < 0.8:
        await run_pass(maintenance, now=dice.random() < 0.5)
    await asyncio.sleep(dice.uniform(0.2, 4) * _HOUR)
    await _sweep(sweeper)
    _forget_expired(world)


async def _erase(world: World, lake: Lake) -> None:
    name = world.dice.choice(_NAMES)
    world.erasing.add(name)
    if isinstance(world.record(image_id(name)), ImageRecord):
        await lake.eraser.erase(TENANT, image_id(name))


async def _sweep(sweeper: Sweeper) -> None:
    try:
        await sweeper.sweep()
    except LakeError:
        return  # the next sweep tries again


def _forget_expired(world: World) -> None:
    """Drop acknowledged images that have expired: clients were promised no more."""
    for name in list(world.promises.acknowledged):
        stored = world.record(image_id(name))
        if stored is None or world.kept.expires(stored.window_start) <= world.bucket.now():
            del world.promises.acknowledged[name]
