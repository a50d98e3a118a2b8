"""Stories of a closed hour: it is compacted, and then rows and erasures come late."""

import asyncio
from functools import partial

from lake import layout
from tests.lake.simulation.fleet import Fleet, doze, eraser, rest, run_pass
from tests.lake.simulation.world import World, patiently

NAMES = "abcdefg"


async def closed_hour(world: World) -> None:
    """Compact an hour, perhaps by two processes at once; rows come late, others are erased.

    No compactor runs after that: the work of the sealers must be enough.
    """
    erasers = Fleet(world, "eraser", 2)
    await _an_hour(world, zombies="tuv", wake=9500)
    sealers = Fleet(world, "sealer", 2)
    for moment in (7500, 9400):
        await asyncio.sleep(moment - world.loop.time())
        for _ in range(2):
            process, lake = await sealers.any()
            if world.dice.random() < 0.3:
                doze(world, process, world.dice.uniform(1, 2000))
            world.loop.create_task(patiently(run_pass(lake, now=True), 3000))
    await asyncio.sleep(world.dice.choice([0, 1, 5, 600]))
    people = [eraser(world, erasers, name, world.dice.uniform(0, 60)) for name in NAMES[:4]]
    await asyncio.gather(*people)
    await rest(world, compact=False)
    world.check_at_rest()


async def moving_watermark(world: World) -> None:
    """Rows of a closed hour come late, just when the watermark sends readers to the hour's copy.

    Processes that seal or compact pause between reading and writing.
    """
    await _an_hour(world, zombies="pqrstuv", wake=9250)
    await asyncio.sleep(7500 - world.loop.time())
    await run_pass((await world.process("keeper"))[1], now=True)
    world.bucket.naps = world.bucket.list_naps = partial(_keepers_nap, world)
    await asyncio.gather(*(_table_maintenance(world, number) for number in range(3)))
    world.bucket.naps = world.bucket.list_naps = lambda *_: 0.0
    await rest(world)
    world.check_at_rest()


async def _an_hour(world: World, *, zombies: str, wake: float) -> None:
    """Upload and seal rows of an hour; some writers pause until `wake` or up to 600 s longer."""
    writers = Fleet(world, "writer", 2)
    for name in NAMES:
        await world.upload(*await writers.any(), name, b"x")
    for number, name in enumerate(zombies):
        process, lake = await world.process(f"zombie{number}")
        world.loop.create_task(patiently(world.upload(process, lake, name, b"x"), 20_000))
        doze(world, process, wake + world.dice.uniform(0, 600))
    await run_pass((await world.process("sealer"))[1], now=True)


def _keepers_nap(world: World, process: str, key: str) -> float:
    """Pause of a keeper that has read the chains of an hour, or the claims on it."""
    read = key == layout.watermark_key(layout.IMAGE_ROWS) or key.startswith(layout.LAKE_IMAGES)
    if not read or not process.startswith("keeper") or world.dice.random() < 0.6:
        return 0.0
    return world.dice.uniform(0, 500)


async def _table_maintenance(world: World, number: int) -> None:
    """Seal and compact until the watermark has certainly passed the hour."""
    process, lake = await world.process(f"keeper{number}")
    while world.loop.time() < 12_000:
        if world.dice.random() < 0.2:
            doze(world, process, world.dice.uniform(1, 900))
        await run_pass(lake, now=True, compact=world.dice.random() < 0.5)
        await asyncio.sleep(world.dice.uniform(1, 120))
