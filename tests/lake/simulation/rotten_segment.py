"""Story of a segment that rots: it holds neither other hours nor readers, and costs its rows only.

The segment rots before or after its hour is compacted, sometimes together with the copy that
readers use. A compactor may also read it damaged only for a while, with the same ETag. In the end
the segment is what it was, and each row is there.
"""

import asyncio
from datetime import datetime

from lake import layout
from lake.tables.schema import ImageRecord
from tests.lake.samples import image_id
from tests.lake.simulation.fleet import Fleet, rest, run_pass
from tests.lake.simulation.world import EPOCH, Broken, World

_HOURS = 4
_ROTTEN = "a"
_OTHERS = "bcdefgh"


async def rotten_segment(world: World) -> None:
    """Upload and compact for some hours while one segment is damaged; then it is whole again."""
    writers = Fleet(world, "writer", 2)
    await _upload(world, writers, _ROTTEN)
    await run_pass((await writers.any())[1], now=True)
    key = layout.chain_key(_record(world, _ROTTEN).window_start, 0)
    whole = world.bucket.objects[key]
    rots = world.dice.choice([0, 3600 * world.dice.uniform(0, 3)])
    copy_rots, _ = await asyncio.gather(_rot(world, key, rots), _hours(world, writers))
    _check_alive(world, copied=rots > 2 * 3600, copy_rots=copy_rots)
    if world.dice.random() < 0.5:
        world.bucket.objects[key] = whole
        world.bucket.changed(key)
    else:
        world.bucket.write(key, whole[0])
    await asyncio.sleep(3600)
    await rest(world)
    world.check_at_rest()


async def _rot(world: World, key: str, after: float) -> bool:
    """Damage the segment, with a new ETag or with that of the whole one; True: its copy, too."""
    await asyncio.sleep(after)
    data, stored = world.bucket.objects[key]
    hour = layout.hour_of(_record(world, _ROTTEN).window_start)
    is_read = world.watermark is not None and hour < world.watermark
    if copy_rots := is_read and world.dice.random() < 0.3:
        # Its rows can't be read now, as if they were being erased.
        world.erasing_ids.update(map(image_id, _of_hour(world, hour)))
        world.bucket.write(layout.compacted_key(hour), b"cut")
    world.erasing_ids.add(image_id(_ROTTEN))
    damaged = world.dice.choice([b"", data[:100], data[:-8]])
    if world.dice.random() < 0.5:
        world.bucket.write(key, damaged)
    else:
        world.bucket.objects[key] = damaged, stored
        world.bucket.changed(key)
    return copy_rots


async def _hours(world: World, writers: Fleet) -> None:
    keepers = [await world.process(f"keeper{n}") for n in range(world.dice.randint(1, 2))]
    others = iter(_OTHERS)
    while world.bucket.now() < EPOCH + _HOURS * layout.HOUR:
        for _, lake in keepers:
            await run_pass(lake, now=False)
        if world.dice.random() < 0.3 and (name := next(others, None)):
            await _upload(world, writers, name)
        await asyncio.sleep(world.dice.uniform(200, 600))


async def _upload(world: World, writers: Fleet, name: str) -> None:
    await world.upload(*await writers.any(), name, b"x")


def _record(world: World, name: str) -> ImageRecord:
    stored = world.record(image_id(name))
    assert isinstance(stored, ImageRecord)
    return stored


def _of_hour(world: World, hour: datetime) -> set[str]:
    """Names of the images of an hour."""
    names = world.promises.acknowledged
    return {name for name in names if layout.hour_of(_record(world, name).window_start) == hour}


def _check_alive(world: World, *, copied: bool, copy_rots: bool) -> None:
    """Check that the watermark passed, and that a copy that had the damaged row has it still."""
    if world.watermark is None or world.watermark < EPOCH + (_HOURS - 2) * layout.HOUR:
        raise Broken("a segment that does not parse holds the watermark")
    seen = {row for row, _ in world.seen(world.watermark)}
    rotten = _record(world, _ROTTEN).window_start
    for name in world.promises.acknowledged:
        start = _record(world, name).window_start
        # The rows of its window wait in the journal, because the ids of the segment are unknown.
        due = (copied and name == _ROTTEN) or start != rotten
        if copy_rots:
            due = layout.hour_of(start) != layout.hour_of(rotten)
        closed = start < layout.hour_of(world.bucket.now()) - layout.HOUR
        if due and closed and image_id(name) not in seen:
            raise Broken("a segment that does not parse costs the row of another")
