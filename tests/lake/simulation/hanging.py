"""Story of windows of which the store does not answer a sealer: they hold up no older window.

A sealer tries the newest windows first. A segment that is tried again and again takes longer than a
pass may last, and its window comes again in the next pass.
"""

import asyncio
from datetime import datetime
from functools import partial

from lake import layout
from lake.lake import Lake
from lake.tables.schema import ImageRecord
from tests.lake.samples import image_id
from tests.lake.simulation.fleet import Fleet, eraser, rest, run_pass
from tests.lake.simulation.leftovers import rows_of
from tests.lake.simulation.world import Broken, World

_OLD, _HANGING, _NEW = "abcd", "pqrstuv", "efgh"
_WINDOW = 61.0
# Seconds of a request that is not answered.
_SILENT = 1000.0
# Seconds in which everything else must be sealed.
_LIMIT = 1800.0


async def hanging_windows(world: World) -> None:
    """Seal and erase for half an hour beside windows that hang; then they hang no more."""
    writers, erasers = Fleet(world, "writer", 2), Fleet(world, "eraser", 1)
    for name in _OLD:
        await world.upload(*await writers.any(), name, b"x")
        await asyncio.sleep(_WINDOW * world.dice.choice((0.1, 1)))
    await asyncio.sleep(_WINDOW)
    if world.dice.random() < 0.5:
        await run_pass((await world.process("first sealer"))[1], now=True)
    if world.dice.random() < 0.7:
        await eraser(world, erasers, "a", 0)
    windows = set()
    for name in _HANGING[: world.dice.randint(4, len(_HANGING))]:
        await world.upload(*await writers.any(), name, b"x")
        windows.add(_window(world, name))
        await asyncio.sleep(_WINDOW)
    silent = world.dice.choice((layout.LAKE_IMAGES, layout.LAKE_IMAGES, ""))
    world.bucket.hangs = partial(_hang, silent, _names(windows))
    keepers = [(await world.process(f"keeper{n}"))[1] for n in range(world.dice.randint(1, 2))]
    await asyncio.gather(*(_keep(world, lake) for lake in keepers), _upload_more(world, writers))
    _check_sealed(world, windows)
    world.bucket.hangs = lambda *_: 0.0
    await rest(world)
    world.check_at_rest()


def _hang(silent: str, names: frozenset[str], process: str, key: str) -> float:
    """Seconds that a request of a sealer hangs, if it is about one of these windows."""
    asked = process.startswith("keeper") and key.startswith(silent)
    return _SILENT if asked and any(name in key for name in names) else 0.0


def _names(windows: set[datetime]) -> frozenset[str]:
    return frozenset(map(layout.window_name, windows))


async def _keep(world: World, lake: Lake) -> None:
    """Run passes of one process, which remembers what failed."""
    ends = world.loop.time() + _LIMIT
    while world.loop.time() < ends:
        await run_pass(lake, now=False, compact=world.dice.random() < 0.5)
        await asyncio.sleep(world.dice.uniform(10, 60))


async def _upload_more(world: World, writers: Fleet) -> None:
    for name in _NEW:
        await asyncio.sleep(world.dice.uniform(0, 250))
        await world.upload(*await writers.any(), name, b"x")


def _window(world: World, name: str) -> datetime:
    stored = world.record(image_id(name))
    assert isinstance(stored, ImageRecord)
    return stored.window_start


def _check_sealed(world: World, windows: set[datetime]) -> None:
    """Check that the rows of all other windows are sealed, and that erased ones are gone."""
    sealed = {row for _, row in world.rows()}
    for name in world.promises.acknowledged.keys() - world.erasing:
        if _window(world, name) not in windows and image_id(name) not in sealed:
            raise Broken("windows that hang hold up another row")
    for name in world.promises.erased:
        if left := next(rows_of(world, name), None):
            raise Broken(f"windows that hang hold up an erasure: {left} is there")
