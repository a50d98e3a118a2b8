"""Story of an image that is erased shortly before it expires, and is sent again afterwards.

A client repeats its upload, or a topic is read again. Sweepers run meanwhile.
"""

import asyncio

from lake.errors import LakeError
from lake.retention.sweeper import Sweeper
from lake.tables.schema import ImageRecord
from tests.lake.samples import image_id
from tests.lake.simulation.fleet import Fleet, eraser, rest
from tests.lake.simulation.world import RETENTION, Broken, World

_HOUR = 3600.0
_TRIES = 6


async def sent_again(world: World) -> None:
    """Erase an image in its last hours; its bytes are refused until a week after the erasure."""
    writers, erasers = Fleet(world, "writer", 2), Fleet(world, "eraser", 2)
    await world.upload(*await writers.any(), "a", b"x")
    stored = world.record(image_id("a"))
    if not isinstance(stored, ImageRecord):
        raise Broken("acknowledged, and there is no record")
    expires = stored.window_start + RETENTION
    left = (expires - world.bucket.now()).total_seconds()
    await asyncio.sleep(left - world.dice.uniform(1, 30) * _HOUR)
    await eraser(world, erasers, "a", 0)
    if "a" in world.promises.erased:
        await _send(world, writers)
    await rest(world)
    world.check_at_rest()


async def _send(world: World, writers: Fleet) -> None:
    """Send the image several times in the week after its erasure, between sweeps."""
    ends = world.bucket.now() + RETENTION
    for _ in range(_TRIES):
        left = (ends - world.bucket.now()).total_seconds() - _HOUR
        await asyncio.sleep(world.dice.uniform(0, left / 2))
        await _sweep(world)
        process, lake = await writers.any()
        try:
            await world.upload(process, lake, "a", b"x")
        except LakeError:
            continue  # erased; or the store was unsure, and nothing was acknowledged
        raise Broken("an erased image was taken again within the retention after its erasure")


async def _sweep(world: World) -> None:
    _, lake = await world.process("sweeper")
    await Sweeper(lake.store, lake.clock, accept_time=True).sweep()
