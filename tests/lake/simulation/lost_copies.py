"""Story of compacted files that are lost or cut while the segments of their hour are whole."""

import asyncio

from lake import layout
from lake.lake import Lake
from tests.lake.simulation.fleet import Fleet, rest, run_pass
from tests.lake.simulation.listed import list_all
from tests.lake.simulation.world import World

_NAMES = "abcdef"
# Seconds since the start at which the watermark has passed the first hour.
_PASSED = 7500


async def lost_copies(world: World) -> None:
    """Lose some copies of an hour, again and again; each listing has all images at once."""
    # Readers of SQL lack the rows of a lost copy until the next pass.
    world.bucket.watchers.clear()
    world.copy_bytes = world.dice.choice((1, 20_000, 60_000))
    writers = Fleet(world, "writer", 2)
    for name in _NAMES:
        await world.upload(*await writers.any(), name, b"x")
        await asyncio.sleep(world.dice.choice((10, 70, 300)))
    keeper = (await world.process("keeper"))[1]
    while world.loop.time() < _PASSED:
        await run_pass(keeper, now=True)
        await asyncio.sleep(300)
    readers = [(await world.process(f"pager{number}"))[1] for number in range(2)]
    await list_all(world, readers[0])
    for _ in range(3):
        await _lose(world, readers)
        # All hours are compared again once an hour.
        for _ in range(world.dice.choice((0, 1, 2))):
            await asyncio.sleep(3700)
            await run_pass(keeper, now=True)
    await rest(world)
    for lake in readers:
        await list_all(world, lake)
    world.check_at_rest()


async def _lose(world: World, readers: list[Lake]) -> None:
    copies = [key for key, _, _ in world.below(layout.IMAGE_ROWS.compacted)]
    for key in world.dice.sample(copies, world.dice.randint(0, len(copies))):
        if world.dice.random() < 0.7:
            world.bucket.remove(key)
        else:
            world.bucket.write(key, world.dice.choice([b"", world.bucket.objects[key][0][:-8]]))
    for lake in readers:
        await list_all(world, lake)
