"""Story of an expired name whose next record arrives long after its objects."""

import asyncio

from lake import layout
from lake.tables.schema import ImageRecord
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.fleet import rest
from tests.lake.simulation.world import RETENTION, Broken, World, patiently


async def late_record(world: World) -> None:
    """The name of an expired tombstone is taken over while the name is erased once more.

    The writer sleeps before it sends its record, and the record arrives just before its signature
    expires. The objects of the new image must still exist then.
    """
    await world.upload(*await world.process("first writer"), "a", b"x")
    stored = world.record(image_id("a"))
    if not isinstance(stored, ImageRecord):
        raise Broken("acknowledged, and there is no record")
    await _erase(world)
    world.promises.acknowledged.clear()
    await asyncio.sleep(RETENTION.total_seconds() + 240)
    world.bucket.naps = lambda process, key: _slept(world, process, key, 590, 2500)
    world.bucket.late_replaces = lambda process, key: _slept(world, process, key, 890, 890)
    taking = world.loop.create_task(_take_over(world))
    await asyncio.sleep(world.dice.uniform(800, 2600))
    if not taking.done():
        await _erase(world)
    await taking
    world.bucket.naps = world.bucket.late_replaces = lambda *_: 0.0
    await rest(world)
    world.check_at_rest()


def _slept(world: World, process: str, key: str, short: float, long: float) -> float:
    if process != "taker" or key != layout.record_key(TENANT, image_id("a")):
        return 0.0
    return world.dice.uniform(0, short if world.dice.random() < 0.5 else long)


async def _take_over(world: World) -> None:
    await patiently(world.upload(*await world.process("taker"), "a", b"x"), 10_000)


async def _erase(world: World) -> None:
    """Erase the image that has the name, old or new; the only promise is that none is partial."""
    world.erasing.add("a")
    _, lake = await world.process("eraser")
    await patiently(lake.eraser.erase(TENANT, image_id("a")), 60)
