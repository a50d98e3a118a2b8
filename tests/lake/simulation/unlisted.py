"""Story of a folder that nobody may list for hours: it costs its own rows and hours only.

The folder is an hour or a day of the segments or of the compacted files, or one window of the
journal.
"""

import asyncio
from datetime import datetime, timedelta

from lake import layout
from lake.tables.schema import ImageRecord
from tests.lake.samples import image_id
from tests.lake.simulation.fleet import Fleet, eraser, rest, run_pass
from tests.lake.simulation.leftovers import rows_of
from tests.lake.simulation.world import Broken, World

_HOURS = 4
_NAMES = "abcdefgh"
# Time in which a row is sealed, and a closed hour is compacted, while passes run.
_SEALED, _COPIED = timedelta(minutes=15), timedelta(minutes=80)


async def unlisted_folder(world: World) -> None:
    """Upload, seal and compact for some hours, over midnight or not; then the folder is listed."""
    await asyncio.sleep(world.dice.choice((0, 22 * 3600)))
    writers, start = Fleet(world, "writer", 2), world.bucket.now()
    folder = world.dice.choice(_folders(start))
    denied = world.dice.uniform(0, 2 * 3600)
    world.loop.call_later(denied, world.bucket.unlisted.add, folder)
    if world.dice.random() < 0.5:
        erased = eraser(world, Fleet(world, "eraser", 1), "a", denied + 600)
        world.loop.create_task(erased)
    await _hours(world, writers)
    _check_alive(world, folder)
    world.bucket.unlisted.clear()
    await rest(world)
    world.check_at_rest()


def _folders(start: datetime) -> list[str]:
    """Folders of the first hour; of its day, if other days have rows, too."""
    rows = layout.IMAGE_ROWS
    hours = [layout.hour_prefix(start), layout.compacted_prefix(start)]
    days = [hour.rpartition("/")[0] for hour in hours] if start.hour else []
    return [*hours, *days, layout.journal_prefix(start, rows), rows.compacted]


async def _hours(world: World, writers: Fleet) -> None:
    keepers = [await world.process(f"keeper{n}") for n in range(world.dice.randint(1, 2))]
    names = iter(_NAMES)
    end = world.loop.time() + _HOURS * 3600
    await world.upload(*await writers.any(), next(names), b"x")
    while world.loop.time() < end:
        if world.dice.random() < 0.3 and (name := next(names, None)):
            await world.upload(*await writers.any(), name, b"x")
        for _, lake in keepers:
            await run_pass(lake, now=False)
        await asyncio.sleep(world.dice.uniform(100, 600))


def _check_alive(world: World, folder: str) -> None:
    """Check that every other row is sealed, and that every other closed hour has its copy."""
    for name in set(world.promises.acknowledged) - world.erasing:
        stored = world.record(image_id(name))
        assert isinstance(stored, ImageRecord)
        start, now = stored.window_start, world.bucket.now()
        hour = layout.hour_of(start)
        chain = (layout.hour_prefix(start), layout.journal_prefix(start))
        if any(f"{one}/".startswith(f"{folder}/") for one in chain):
            continue
        files = list(rows_of(world, name))
        if start + _SEALED < now and not _any_below(layout.LAKE_IMAGES, files):
            raise Broken("a folder that can't be listed keeps the row of another in the journal")
        if f"{layout.compacted_prefix(hour)}/".startswith(f"{folder}/"):
            continue
        if hour + _COPIED < now and not _any_below(layout.IMAGE_ROWS.compacted, files):
            raise Broken("a folder that can't be listed keeps another hour without a copy")


def _any_below(folder: str, keys: list[str]) -> bool:
    return any(key.startswith(f"{folder}/") for key in keys)
