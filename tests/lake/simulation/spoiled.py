"""Story of spoiled objects: what no process of Pixlake makes harms no other image.

Names that are not Pixlake's appear anywhere, and one object of an erased image can't be deleted.
The watermark is cut. After two hours of peace each acknowledged image has its row.
"""

import asyncio
from contextlib import suppress

from lake import layout
from lake.lake import Lake
from lake.tables.schema import ImageRecord
from tests.lake.samples import image_id
from tests.lake.simulation.fleet import Fleet, eraser
from tests.lake.simulation.world import World

NAMES = "abcdefg"
STRANGE = ("@eaDir/SYNO", "lost+found/#1", "99999999T999999Z/x", "new folder/20261123T000000Z", " ")


async def spoiled(world: World) -> None:
    """Upload, erase and seal images while strange names appear; then rest, then the checks."""
    writers, erasers = Fleet(world, "writer", 2), Fleet(world, "eraser", 1)
    for name in NAMES:
        await world.upload(*await writers.any(), name, b"x")
        if world.dice.random() < 0.5:
            _plant(world)
        if world.dice.random() < 0.3:
            await _pass((await world.process("sealer"))[1])
        await asyncio.sleep(world.dice.uniform(0, 60))
    stored = world.record(image_id("a"))
    assert isinstance(stored, ImageRecord)
    world.bucket.held.add(stored.original_key)
    for name in NAMES[:2]:
        await eraser(world, erasers, name, 0)
    _plant(world)
    for wait in (1000, 3700, 2000):
        await asyncio.sleep(wait)
        _, lake = await world.process("last sealer")
        for _ in range(3):
            if wait < 3000:  # also after it was written anew
                world.bucket.write(layout.watermark_key(), world.dice.choice([b"", b"{"]))
            await _pass(lake)
    world.check_at_rest()


async def _pass(lake: Lake) -> None:
    # Whatever a pass raises, the loop of a sealer goes on.
    with suppress(Exception):
        await lake.maintenance.run_pass(now=True)


def _plant(world: World) -> None:
    """Write an object with a strange name into a folder that a pass lists."""
    window = layout.window_start_of(world.bucket.now(), world.kept.window)
    folder = world.dice.choice(
        [
            layout.JOURNAL,
            layout.hour_prefix(window),
            layout.REJECTION_ROWS.journal,
        ]
    )
    world.bucket.write(f"{folder}/{world.dice.choice(STRANGE)}", b"x")
