"""Story of readers who page through a listing while images come, are sealed and are erased."""

import asyncio
from datetime import datetime
from functools import partial

from lake import layout
from lake.errors import LakeError, Unavailable
from lake.lake import Lake
from lake.tables.schema import ImageRecord
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.fleet import Fleet, eraser, rest, run_pass
from tests.lake.simulation.story import client, hasty_sealer
from tests.lake.simulation.world import Broken, World, patiently

_NAMES, _LATER = "abcdefg", "hi"
_SLEEP = 5000.0


async def listed(world: World) -> None:
    """Each image that exists all the while is listed once; none that was erased before is."""
    writers, sealers, erasers = (Fleet(world, role, 3) for role in ("writer", "sealer", "eraser"))
    for name in _NAMES:
        await world.upload(*await writers.any(), name, b"x")
        await asyncio.sleep(world.dice.choice((0, 0, 70)))
    if world.dice.random() < 0.7:
        await run_pass((await sealers.any())[1], now=True)
    world.bucket.naps = partial(_naps, world)
    world.bucket.list_naps = partial(_list_naps, world)
    wakes = world.loop.time() + _SLEEP
    await _sleeping_replay(world)
    world.loop.create_task(hasty_sealer(world, sealers))
    people = [_reader(world, number) for number in range(2)]
    people += [eraser(world, erasers, name, world.dice.uniform(0, 200)) for name in _NAMES[:3]]
    people += [client(world, writers, name, b"x") for name in _LATER]
    await asyncio.gather(*people)
    await _before(world, wakes - 300)
    await run_pass((await sealers.any())[1], now=True)
    await _before(world, wakes + 300)
    await list_all(world, (await world.process("late reader"))[1])
    world.bucket.naps = world.bucket.list_naps = lambda *_: 0.0
    await rest(world)
    await list_all(world, (await world.process("last reader"))[1])
    world.check_at_rest()


def _naps(world: World, process: str, key: str) -> float:
    """Pause after an object was read: more than an hour of the replay, seconds of the others."""
    if process.startswith("replay"):
        return _SLEEP if key.endswith(layout.RECORD) else 0.0
    return world.dice.uniform(0, 20) if world.dice.random() < 0.2 else 0.0


def _list_naps(world: World, process: str, folder: str) -> float:
    """Pause of a reader that has listed the segments of an hour."""
    reads = process.startswith("pager") and folder.startswith(layout.LAKE_IMAGES)
    return world.dice.uniform(0, 60) if reads and world.dice.random() < 0.3 else 0.0


async def _sleeping_replay(world: World) -> None:
    """Start a replay that writes its row after the image may have been erased."""
    process, lake = await world.process("replay")
    again = world.upload(process, lake, world.dice.choice(_NAMES), b"x")
    world.loop.create_task(patiently(again, 10_000))


async def _before(world: World, moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - world.loop.time()))


async def _reader(world: World, number: int) -> None:
    for turn in range(6):
        await asyncio.sleep(world.dice.uniform(0, 60))
        if turn % 3 == 0:  # between restarts, a process remembers what it has read
            _, lake = await world.process(f"pager{number}.{turn}")
        await list_all(world, lake)


async def list_all(world: World, lake: Lake, damaged: frozenset[datetime] = frozenset()) -> None:
    """Read all pages of a listing and check them; images of `damaged` windows may be missing."""
    present = set(world.promises.acknowledged) - world.erasing
    present -= {name for name in present if _window(world, name) in damaged}
    gone = {image_id(name) for name in world.promises.erased}
    found = await ids(world, lake)
    if found is None:
        return
    if len(found) != len(set(found)):
        raise Broken("an image is listed twice")
    if gone & set(found):
        raise Broken("an erased image is listed")
    if {image_id(name) for name in present - world.erasing} - set(found):
        raise Broken("an image is missing in a listing")


def _window(world: World, name: str) -> datetime:
    stored = world.record(image_id(name))
    assert isinstance(stored, ImageRecord)
    return stored.window_start


async def ids(world: World, lake: Lake, tenant: str = TENANT, most: int = 3) -> list[str] | None:
    """Ids of all pages, of up to `most` images each; None if the store failed."""
    found: list[str] = []
    cursor = None
    while True:
        try:
            page = await lake.reader.page(tenant, world.dice.randint(1, most), cursor)
        except Unavailable:
            return None
        except LakeError as error:
            raise Broken("a listing fails") from error
        found += [record.image_id for record in page.records]
        if page.cursor is None:
            return found
        cursor = page.cursor
        await asyncio.sleep(world.dice.uniform(0, 5))
