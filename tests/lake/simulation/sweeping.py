"""Sweepers of the stories in which a name is swept and used again in the same minutes."""

import asyncio
from collections.abc import Callable
from functools import partial

from lake.lake import Lake
from lake.retention.sweeper import Sweeper
from tests.lake.simulation.bucket import Process
from tests.lake.simulation.fleet import doze
from tests.lake.simulation.store import DELETE_SECONDS
from tests.lake.simulation.world import World, patiently


def disturb(world: World, writer: str, is_record: Callable[[str], bool]) -> None:
    """Pause sweepers and writers between two requests for a record, and delay DELETEs."""
    naps = partial(_naps, world, roles=("sweeper", writer), is_record=is_record)
    world.bucket.naps = partial(naps, longest=200)
    world.bucket.replace_naps = partial(naps, longest=900)
    world.bucket.late_deletes = partial(_late, world)
    world.bucket.compares_deletes = world.dice.random() < 0.3


def calm(world: World) -> None:
    """End what `disturb` began."""
    world.bucket.naps = world.bucket.replace_naps = world.bucket.late_deletes = lambda *_: 0.0


async def sweep_often(
    world: World, number: int, machine: tuple[Process, Lake] | None = None
) -> None:
    """Sweep six times in some minutes, with pauses, in a new process or that of a machine."""
    process, lake = machine or await world.process(f"sweeper{number}")
    sweeper = Sweeper(lake.store, lake.clock)
    for _ in range(6):
        if world.dice.random() < 0.7:
            doze(world, process, world.dice.uniform(1, 300))
        await patiently(sweeper.sweep(), 1000)
        await asyncio.sleep(world.dice.uniform(1, 150))


def _naps(
    world: World,
    process: str,
    key: str,
    *,
    roles: tuple[str, ...],
    is_record: Callable[[str], bool],
    longest: float,
) -> float:
    if not is_record(key) or world.dice.random() < 0.6:
        return 0.0
    return world.dice.uniform(0, longest) if process.startswith(roles) else 0.0


def _late(world: World, process: str, _: str) -> float:
    """Delay of a sweeper's DELETE, some to the end of its signature; 0 if it is answered."""
    if not process.startswith("sweeper") or world.dice.random() < 0.7:
        return 0.0
    return world.dice.uniform(1, 5 * DELETE_SECONDS)
