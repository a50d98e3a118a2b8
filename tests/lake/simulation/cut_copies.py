"""Story of compacted copies that are cut: the next pass writes them anew from their segments.

Copies are cut at any moment, all or some of an hour, while rows come late into the hour and its
images are erased. Readers miss the rows meanwhile, and have them again afterwards.
"""

import asyncio
from functools import partial

from lake import layout
from lake.tables.schema import ImageRecord
from tests.lake.samples import image_id
from tests.lake.simulation.fleet import Fleet, eraser, rest, run_pass
from tests.lake.simulation.leftovers import rows_of
from tests.lake.simulation.world import EPOCH, Broken, World, patiently

_HOURS = 3.5
_NAMES, _LATE, _ERASED = "abcdefghijkl", "uvw", "abc"


async def cut_copies(world: World) -> None:
    """Upload, compact and cut copies for hours; then rest, then the checks."""
    # Either a copy an hour, or one a window.
    world.copy_bytes = world.dice.choice((1, world.copy_bytes))
    writers, erasers = Fleet(world, "writer", 2), Fleet(world, "eraser", 1)
    for name in _LATE:
        await _sleeper(world, name)
    world.bucket.naps = partial(_naps, world)
    starts = [world.dice.uniform(3600, _HOURS * 3600) for _ in _ERASED]
    await asyncio.gather(
        _uploads(world, writers),
        *(_maintenance(world, number) for number in range(world.dice.randint(1, 2))),
        _cuts(world),
        *(eraser(world, erasers, name, start) for name, start in zip(_ERASED, starts, strict=True)),
    )
    world.bucket.naps = lambda *_: 0.0
    await rest(world)
    world.check_at_rest()
    for name in world.promises.erased:
        if left := next(rows_of(world, name), None):
            raise Broken(f"erased, and {left} has the row")


async def _uploads(world: World, writers: Fleet) -> None:
    for name in _NAMES:
        await world.upload(*await writers.any(), name, b"x")
        await asyncio.sleep(world.dice.choice((0, 70, 70, 1000)))


async def _sleeper(world: World, name: str) -> None:
    """Start an upload in the first hour that pauses between its record and its row."""
    process, lake = await world.process(f"sleeper {name}")
    wake = world.dice.uniform(1, _HOURS) * 3600

    def fall_asleep(_: str) -> None:
        stored = world.record(image_id(name))
        if isinstance(stored, ImageRecord) and world.loop.time() < 3600:
            process.paused_until = wake

    world.bucket.watchers.append(fall_asleep)
    await asyncio.sleep(world.dice.uniform(0, 200))
    world.loop.create_task(patiently(world.upload(process, lake, name, b"x"), 20_000))


async def _maintenance(world: World, number: int) -> None:
    _, lake = await world.process(f"keeper{number}")
    while world.bucket.now() < EPOCH + _HOURS * layout.HOUR:
        await patiently(run_pass(lake, now=world.dice.random() < 0.3), 900)
        await asyncio.sleep(world.dice.uniform(100, 500))


def _naps(world: World, process: str, key: str) -> float:
    """Pause of a compactor after it has read a segment."""
    reads = process.startswith("keeper") and key.startswith(layout.LAKE_IMAGES)
    return world.dice.uniform(0, 60) if reads and world.dice.random() < 0.2 else 0.0


async def _cuts(world: World) -> None:
    """Cut copies now and then; their rows can't be read until they are written anew."""
    while world.bucket.now() < EPOCH + _HOURS * layout.HOUR:
        await asyncio.sleep(world.dice.uniform(60, 2400))
        copies = [key for key, _, _ in world.below(layout.IMAGE_ROWS.compacted)]
        some = world.dice.sample(copies, world.dice.randint(0, len(copies)))
        for key in some:
            # As if their rows were being erased, for the check of what readers see.
            world.erasing_ids.update(world.published)
            body, _ = world.bucket.objects[key]
            world.bucket.write(key, body[: world.dice.choice((0, 4, len(body) - 8))])
