"""Story of windows that can't be sealed for hours: they hold neither other windows nor readers.

In the first hour a journal object is cut, the segment of one window is refused, and a journal
object can't be deleted. The watermark passes that hour all the same.
"""

import asyncio
from datetime import datetime, timedelta

from lake import layout
from lake.tables.schema import ImageRecord
from tests.lake.samples import image_id
from tests.lake.simulation.fleet import Fleet, rest, run_pass
from tests.lake.simulation.world import EPOCH, Broken, World

_HOURS = 3


async def stuck_windows(world: World) -> None:
    """Seal and compact for three hours, then let the store take the refused segment."""
    writers = Fleet(world, "writer", 2)
    cut = layout.journal_key(EPOCH, "cut", extension="jsonl")
    world.bucket.write(cut, world.dice.choice([b"", b'{"image_id": "0']))
    await asyncio.sleep(world.dice.uniform(60, 600))
    await _upload(world, writers, "a")
    refused = _window(world, "a")
    world.bucket.refused.add(layout.chain_key(refused, 0))
    await asyncio.sleep(120)
    await _upload(world, writers, "b")
    kept = _window(world, "b")
    world.bucket.held.update(key for key, _, _ in world.below(layout.journal_prefix(kept)))
    await _upload(world, writers, "c")
    keepers = [await world.process(f"keeper{n}") for n in range(world.dice.randint(1, 2))]
    late = iter("defg")
    while world.bucket.now() < EPOCH + _HOURS * layout.HOUR:
        for _, lake in keepers:
            await run_pass(lake, now=False)
        if world.dice.random() < 0.3 and (name := next(late, None)):
            await _upload(world, writers, name)
        await asyncio.sleep(world.dice.uniform(200, 600))
    _check_alive(world, refused)
    world.bucket.refused.clear()
    await rest(world)
    world.check_at_rest()


async def _upload(world: World, writers: Fleet, name: str) -> None:
    await world.upload(*await writers.any(), name, b"x")


def _window(world: World, name: str) -> datetime:
    stored = world.record(image_id(name))
    assert isinstance(stored, ImageRecord)
    return stored.window_start


def _check_alive(world: World, refused: datetime) -> None:
    """Check that every other row can be read, and that readers use the copies of closed hours."""
    seen = {row for row, _ in world.seen(world.watermark)}
    for name in world.promises.acknowledged:
        start = _window(world, name)
        due = start != refused and start < world.bucket.now() - timedelta(minutes=15)
        if due and image_id(name) not in seen:
            raise Broken("a window that can't be sealed holds another row")
    if world.watermark is None or world.watermark < EPOCH + (_HOURS - 2) * layout.HOUR:
        raise Broken("a window that can't be sealed holds the watermark")
