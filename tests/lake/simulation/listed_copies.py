"""Story of readers who keep their index while rows and erasures come late into compacted hours."""

import asyncio
from functools import partial

from lake import layout
from lake.lake import Lake
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.fleet import Fleet, eraser, rest, run_pass
from tests.lake.simulation.listed import list_all
from tests.lake.simulation.world import World, patiently

_NAMES, _ERASED, _LATE = "abcdef", "abc", "tuvw"
# Seconds since the start: the hour is closed, then the watermark passes the hour.
_CLOSED, _PASSED, _END = 4000, 6300, 9000


async def listed_copies(world: World) -> None:
    """Each image is listed once, whichever versions of the copies a reader knows."""
    writers, erasers = Fleet(world, "writer", 2), Fleet(world, "eraser", 2)
    for number in range(max(len(_NAMES), len(_LATE))):
        if number < len(_NAMES):
            await world.upload(*await writers.any(), _NAMES[number], b"x")
        if number < len(_LATE):
            await _sleeper(world, _LATE[number])
        await asyncio.sleep(world.dice.choice((0, 70, 300)))
    await run_pass((await world.process("sealer"))[1], now=True)
    readers = [(await world.process(f"pager{number}"))[1] for number in range(2)]
    await asyncio.sleep(_CLOSED - world.loop.time())
    for number in range(2):
        world.loop.create_task(_maintenance(world, number))
    people = [_reader(world, lake) for lake in readers]
    starts = [world.dice.uniform(0, _END - _CLOSED) for _ in _ERASED]
    people += [
        eraser(world, erasers, name, start) for name, start in zip(_ERASED, starts, strict=True)
    ]
    world.bucket.list_naps = partial(_naps, world)
    await asyncio.gather(*people)
    world.bucket.list_naps = lambda *_: 0.0
    await rest(world)
    for lake in readers:
        await list_all(world, lake)
    world.check_at_rest()


def _naps(world: World, process: str, folder: str) -> float:
    """Pause of a reader that has listed the copies."""
    reads = process.startswith("pager") and folder == layout.IMAGE_ROWS.compacted
    return world.dice.uniform(0, 100) if reads and world.dice.random() < 0.5 else 0.0


async def _sleeper(world: World, name: str) -> None:
    """Start an upload that pauses between its record and its row."""
    process, lake = await world.process(f"sleeper {name}")
    wake = world.dice.uniform(_PASSED, _END)

    def fall_asleep(key: str) -> None:
        if key == layout.record_key(TENANT, image_id(name)) and world.loop.time() < _CLOSED:
            process.paused_until = wake

    world.bucket.watchers.append(fall_asleep)
    world.loop.create_task(patiently(world.upload(process, lake, name, b"x"), 20_000))


async def _maintenance(world: World, number: int) -> None:
    """Seal and compact for ever."""
    _, lake = await world.process(f"keeper{number}")
    while True:
        await run_pass(lake, now=True, compact=world.dice.random() < 0.5)
        await asyncio.sleep(world.dice.uniform(20, 200))


async def _reader(world: World, lake: Lake) -> None:
    while world.loop.time() < _END:
        await list_all(world, lake)
        await asyncio.sleep(world.dice.uniform(0, 100))
