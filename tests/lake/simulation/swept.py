"""Story of the sweeper: names are swept and taken over at the same time."""

import asyncio
from datetime import timedelta

from lake import layout
from lake.retention.sweeper import Sweeper
from lake.store.store_settings import StoreSettings
from lake.tables.schema import ImageRecord
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.fleet import Fleet, doze, rest
from tests.lake.simulation.sweeping import calm, disturb, sweep_often
from tests.lake.simulation.world import RETENTION, Broken, World, patiently

NAMES = ("a", "b")
_MARGIN = StoreSettings().margin


async def swept_week(world: World) -> None:
    """Two images are due for sweeping just when their names are uploaded again, or erased."""
    writers = Fleet(world, "writer", 3)
    attempts = []
    for name in NAMES:
        await world.upload(*await writers.any(), name, b"x")
        stored = world.record(image_id(name))
        if not isinstance(stored, ImageRecord):
            raise Broken("acknowledged, and there is no record")
        attempts.append(stored.attempt)
        due = stored.window_start + RETENTION + _MARGIN
    await asyncio.sleep((due - world.bucket.now()).total_seconds() - 300)
    world.promises.acknowledged.clear()
    disturb(world, "writer", lambda key: key.endswith(layout.RECORD))
    people = [_again(world, writers, name) for name in NAMES for _ in range(2)]
    people += [sweep_often(world, number) for number in range(2)]
    if world.dice.random() < 0.5:
        people.append(_erase(world))
    await asyncio.gather(*people)
    calm(world)
    await rest(world)
    world.check_at_rest()
    # Objects of an attempt that lost its name, or was unsure of it, are orphans: they are deleted
    # at the age of a day.
    await asyncio.sleep(timedelta(days=1).total_seconds())
    _, lake = await world.process("last sweeper")
    await Sweeper(lake.store, lake.clock, accept_time=True).sweep()
    world.check_at_rest()
    below = [key for key, _, _ in world.below(layout.IMAGES)]
    if any(attempt in key for attempt in attempts for key in below):
        raise Broken("something of an expired image is left")


async def _again(world: World, writers: Fleet, name: str) -> None:
    await asyncio.sleep(world.dice.uniform(290, 800))
    for _ in range(10):
        process, lake = await writers.any()
        if world.dice.random() < 0.2:
            doze(world, process, world.dice.uniform(1, 300))
        await patiently(world.upload(process, lake, name, b"x"), 60)
        await asyncio.sleep(world.dice.uniform(0, 150))


async def _erase(world: World) -> None:
    """Erase the image that has the name, old or new; the only promise is that none is partial."""
    await asyncio.sleep(world.dice.uniform(400, 900))
    world.erasing.add("a")
    _, lake = await world.process("eraser")
    await patiently(lake.eraser.erase(TENANT, image_id("a")), 2000)
