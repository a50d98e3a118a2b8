"""Story of a shadow lake: it is built and put in use beside writers, sealers and erasures.

Builders and cutovers pause between reading and writing, die, and are started again. In some stories
nobody puts the shadow lake in use: the rows of erased images leave it all the same.
"""

import asyncio
from functools import partial

from lake import layout
from lake.lake import Lake
from lake.rebuild.cutover import Cutover
from lake.rebuild.shadow_lake import build
from lake.settings import LakeSettings
from tests.lake.simulation.fleet import Fleet, doze, eraser, rest, run_pass
from tests.lake.simulation.leftovers import objects_of, rows_of, waiting_rows_of
from tests.lake.simulation.story import client
from tests.lake.simulation.world import Broken, World, patiently

_NAMES, _LATER = "abcdef", "xyz"
_SETTINGS = LakeSettings(store_url="memory://")
# A hold is half an hour old when a cutover begins.
_HELD = 1800.0


async def shadowed(world: World) -> None:
    """Build a shadow lake and put it in use, while images come and are erased at any moment."""
    await _shadowed(world, late=False)


async def shadowed_late(world: World) -> None:
    """The same story, with a segment that is on its way while the lake is built and held."""
    await _shadowed(world, late=True)


async def shadowed_between(world: World) -> None:
    """Erase images while a cutover pauses between the rows of both lakes."""
    writers, erasers = Fleet(world, "writer", 2), Fleet(world, "eraser", 2)
    _, keeper = await world.process("sealer")
    for name in _NAMES:
        await world.upload(*await writers.any(), name, b"x")
        if world.dice.random() < 0.7:
            await run_pass(keeper, now=True)
    await build((await world.process("builder"))[1], _SETTINGS, processes=1)
    begun = asyncio.Event()

    def pause(process: str, key: str) -> float:
        if not process.startswith("cutover") or not key.startswith("lake/"):
            return 0.0
        begun.set()
        return world.dice.uniform(0, 90)

    world.bucket.naps = pause
    await asyncio.gather(
        patiently(_cut_over((await world.process("cutover"))[1]), 9000),
        _erase_and_seal(world, erasers, keeper, begun),
    )
    world.bucket.naps = lambda *_: 0.0
    await rest(world)
    world.check_at_rest()


async def _erase_and_seal(world: World, erasers: Fleet, keeper: Lake, begun: asyncio.Event) -> None:
    await begun.wait()
    for name in world.dice.sample(_NAMES, 3):
        await eraser(world, erasers, name, world.dice.uniform(0, 30))
        for _ in range(3):
            await run_pass(keeper, now=True)
            await asyncio.sleep(world.dice.uniform(0, 10))


async def _shadowed(world: World, *, late: bool) -> None:
    writers, sealers, erasers = (Fleet(world, role, 2) for role in ("writer", "sealer", "eraser"))
    for name in _NAMES:
        await world.upload(*await writers.any(), name, b"x")
        if world.dice.random() < 0.4:
            await run_pass((await sealers.any())[1], now=True)
    if world.dice.random() < 0.5:
        await _close_the_hour(sealers)
    world.bucket.naps = world.bucket.list_naps = partial(_naps, world, set())
    world.bucket.create_naps = partial(_late_segments, world, late)
    sealing = world.loop.create_task(_seal(world, sealers))
    people = [_builds(world, writers, late=late)]
    people += [eraser(world, erasers, name, _some_time(world)) for name in _NAMES[:4]]
    people += [_later(world, writers, name) for name in _LATER]
    await asyncio.gather(*people)
    sealing.cancel()
    world.bucket.naps = world.bucket.list_naps = lambda *_: 0.0
    world.bucket.create_naps = lambda *_: 0.0
    await rest(world)
    world.check_at_rest()
    for name in sorted(world.promises.erased):
        for find in (rows_of, waiting_rows_of, objects_of):
            if left := next(find(world, name), None):
                raise Broken(f"erased, and {left} is there")


async def _close_the_hour(sealers: Fleet) -> None:
    for _ in range(8):
        await asyncio.sleep(1200)
        await run_pass((await sealers.any())[1], now=True)


def _some_time(world: World) -> float:
    """Moment of an erasure: while the lake is built, is held, or is put in use."""
    return world.dice.choice([0, 0, _HELD]) + world.dice.uniform(0, 600)


def _naps(world: World, seen: set[tuple[str, str]], process: str, key: str) -> float:
    """Pause after reading: more than an hour of some builders, a minute or two of others.

    A builder reads each record two times: in a scan, and just before it writes the row.
    """
    if process.startswith("builder") and key.endswith(layout.RECORD):
        again = (process, key) in seen
        seen.add((process, key))
        return world.dice.choice([0.0, 0.0, 0.0, 0.0, 0.0, 60.0, 5000.0]) if again else 0.0
    if process.startswith(("builder", "cutover")) and world.dice.random() < 0.3:
        return world.dice.uniform(0, 90)
    reads = key.startswith("lake/")
    return world.dice.uniform(0, 60) if reads and world.dice.random() < 0.3 else 0.0


def _late_segments(world: World, seldom: bool, process: str, key: str) -> float:
    """Time for which the segment of a sealer is on its way."""
    if not process.startswith("sealer") or not key.startswith(layout.LAKE_IMAGES):
        return 0.0
    late = process.endswith("late segment") and not key.endswith("-0.parquet")
    often = [0, 0, 0, 0, 300, 850] if seldom else [0, 0, 300, 850]
    return world.dice.choice([850] if late else often)


async def _seal(world: World, sealers: Fleet) -> None:
    while True:
        process, lake = await sealers.any()
        if world.dice.random() < 0.1:
            doze(world, process, world.dice.choice([90, 1200]))
        await patiently(run_pass(lake, now=True), 900)
        await asyncio.sleep(world.dice.choice([5, 60, 300]))


async def _later(world: World, writers: Fleet, name: str) -> None:
    await asyncio.sleep(_some_time(world))
    await client(world, writers, name, b"x")


async def _segment_on_its_way(world: World, writers: Fleet) -> None:
    """Start a sealer whose second segment of a window arrives up to 850 s later."""
    _, lake = await world.process("sealer of a late segment")
    await patiently(world.upload(*await writers.any(), "p", b"x"), 30)
    await run_pass(lake, now=True)
    await patiently(world.upload(*await writers.any(), "q", b"x"), 30)
    world.loop.create_task(run_pass(lake, now=True))


async def _builds(world: World, writers: Fleet, *, late: bool) -> None:
    """Build a shadow lake; then, in most stories, put it in use, in up to three tries."""
    await asyncio.sleep(world.dice.uniform(0, 100))
    if late and world.dice.random() < 0.5:
        await _segment_on_its_way(world, writers)
    for number in range(2):
        _, lake = await world.process(f"builder{number}")
        if await patiently(build(lake, _SETTINGS, processes=1), 30_000):
            break
    if world.dice.random() < 0.4:
        return
    for number in range(3):
        process, lake = await world.process(f"cutover{number}")
        if number < 2 and world.dice.random() < 0.3:
            when = _HELD + world.dice.uniform(0, 120)
            world.loop.call_later(when, setattr, process, "alive", False)
        if await patiently(_cut_over(lake), 9000) and process.alive:
            return


async def _cut_over(lake: Lake) -> None:
    """Run the steps of `pixlake rebuild --cutover`."""
    cutover = Cutover(lake, _SETTINGS, processes=1)
    begins = await cutover.hold()
    while (left := (begins - lake.clock.now()).total_seconds()) > 0:
        await asyncio.sleep(min(left, 60))
        await lake.clock.fresh()
    await cutover.run()
