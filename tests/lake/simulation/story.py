"""Stories: work under every fault, simultaneous erasures, and names that expire after a week."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

from lake import layout
from lake.tables.schema import ImageRecord
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.asked_again import asked_again
from tests.lake.simulation.asleep import machines_sleep
from tests.lake.simulation.changed import changed_retention
from tests.lake.simulation.closed import closed_hour, moving_watermark
from tests.lake.simulation.damaged import damaged_records
from tests.lake.simulation.fleet import Fleet, doze, eraser, fate, rest, run_pass, sealer
from tests.lake.simulation.frozen import frozen
from tests.lake.simulation.late_file import late_file
from tests.lake.simulation.late_record import late_record
from tests.lake.simulation.liveness import check_liveness
from tests.lake.simulation.messages import messages
from tests.lake.simulation.positions import used_again
from tests.lake.simulation.read_again import read_again
from tests.lake.simulation.remade import remade
from tests.lake.simulation.sent_again import sent_again
from tests.lake.simulation.set_clock import days_ahead, hours_ahead
from tests.lake.simulation.simulated import simulated
from tests.lake.simulation.spoiled import spoiled
from tests.lake.simulation.stuck import stuck_windows
from tests.lake.simulation.swept import swept_week
from tests.lake.simulation.swept_rejections import swept_rejections
from tests.lake.simulation.world import RETENTION, Broken, World, patiently

Story = Callable[[World], Coroutine[Any, Any, None]]

NAMES = ("a", "b")
DOOMED = "abcdefg"
CONTENTS = (b"x", b"x", b"x", b"y")


async def client(world: World, writers: Fleet, name: str, content: bytes) -> None:
    """Upload an image; when unsure, retry through another process, up to four times in all."""
    await asyncio.sleep(world.dice.uniform(0, 100))
    for _ in range(world.dice.randint(1, 4)):
        process, lake = await writers.any()
        if await patiently(world.upload(process, lake, name, content), 30) is not False:
            # Some processes die just after their answer.
            process.alive &= world.dice.random() < 0.8
            break
        await asyncio.sleep(world.dice.uniform(0, 60))
    if world.dice.random() < 0.3:  # a redelivery, later
        await asyncio.sleep(world.dice.uniform(0, 1500))
        process, lake = await writers.any()
        await patiently(world.upload(process, lake, name, content), 30)


async def outages(world: World) -> None:
    """Let the whole store answer 503 now and then, for seconds or for many minutes."""
    while True:
        await asyncio.sleep(world.dice.expovariate(1 / 200))
        world.bucket.down = True
        world.bucket.outages += 1
        await asyncio.sleep(world.dice.choice([2, 30, 700]))
        world.bucket.down = False


async def working_days(world: World) -> None:
    """Clients, sealers, erasers and random failures for an hour; then rest; then the checks.

    In some stories no sealer runs for hours, in some the store has outages.
    """
    fleets = [Fleet(world, role, 2) for role in ("writer", "sealer", "eraser")]
    writers, sealers, erasers = fleets
    world.bucket.fault_rate = world.dice.choice([0, 0.05, 0.2])
    world.bucket.death_rate = world.dice.choice([0, 0.01, 0.03])
    world.bucket.cuts = world.chance("cuts", stories=0.4, rate=0.2)
    people: list[Coroutine[Any, Any, None]] = [
        client(world, writers, world.dice.choice(NAMES), world.dice.choice(CONTENTS))
        for _ in range(world.dice.randint(2, 6))
    ]
    if world.dice.random() < 0.6:
        start = world.dice.uniform(0, 300)
        doomed = NAMES if world.dice.random() < 0.5 else world.dice.choice(NAMES)
        people += [eraser(world, erasers, name, start) for name in doomed]
    if world.dice.random() < 0.8:
        for _ in range(2):
            world.loop.create_task(sealer(world, sealers))
    misfortunes = [world.loop.create_task(fate(world, fleets))]
    if world.dice.random() < 0.3:
        misfortunes.append(world.loop.create_task(outages(world)))
    await asyncio.gather(*people)
    for task in misfortunes:
        task.cancel()
    world.bucket.down = False
    world.bucket.fault_rate = world.bucket.death_rate = world.bucket.cuts.rate = 0
    await rest(world)
    world.check_at_rest()


async def erasures(world: World) -> None:
    """Erase sealed images at the same time, while their replays pause half-way for over an hour.

    Sealers pause between reading a file and rewriting it.
    """
    writers, sealers, erasers = (Fleet(world, role, 3) for role in ("writer", "sealer", "eraser"))
    for name in DOOMED:
        await world.upload(*await writers.any(), name, b"x")
    if world.dice.random() < 0.7:
        await run_pass((await sealers.any())[1], now=True)
    world.bucket.naps = partial(_naps, world)
    zombies = [await world.process(f"zombie{n}") for n in range(3)]
    for process, lake in zombies:
        again = world.upload(process, lake, world.dice.choice(DOOMED), b"x")
        world.loop.create_task(patiently(again, 10_000))
        doze(world, process, 5000)
    for _ in range(3):
        world.loop.create_task(hasty_sealer(world, sealers))
    await asyncio.gather(*(eraser(world, erasers, name, 0) for name in DOOMED))
    await asyncio.sleep(10)
    world.bucket.naps = lambda *_: 0.0
    await rest(world)
    world.check_at_rest()


def _naps(world: World, process: str, key: str) -> float:
    """Pause between reading and writing, where a pause does the most harm."""
    if world.dice.random() < 0.3:
        return 0.0
    if process.startswith("zombie"):
        return 5000.0 if key.endswith("record.json") else 0.0
    if process.startswith("late eraser"):
        return world.dice.uniform(0, 400) if key.endswith("record.json") else 0.0
    return world.dice.uniform(0, 8) if key.startswith(layout.LAKE_IMAGES) else 0.0


async def hasty_sealer(world: World, sealers: Fleet) -> None:
    process, lake = await sealers.any()
    for _ in range(20):
        if world.dice.random() < 0.5:
            doze(world, process, 5)
        await run_pass(lake, now=True)
        await asyncio.sleep(world.dice.uniform(0, 2))


async def week_end(world: World) -> None:
    """Upload an image, and upload its identity again just when the image expires."""
    world.bucket.watchers.append(_never_taken_early(world))
    writers = Fleet(world, "writer", 3)
    process, lake = await writers.any()
    await world.upload(process, lake, "a", b"x")
    await writers.fill()
    stored = world.record(image_id("a"))
    if not isinstance(stored, ImageRecord):
        raise Broken("acknowledged, and there is no record")
    moment = (stored.window_start + RETENTION - world.bucket.now()).total_seconds()
    await asyncio.sleep(moment - 700)
    world.promises.acknowledged.clear()
    erasers, sealers = Fleet(world, "late eraser", 2), Fleet(world, "sealer", 2)
    world.bucket.naps = partial(_naps, world)
    people: list[Coroutine[Any, Any, None]] = [_again(world, writers) for _ in range(3)]
    if world.dice.random() < 0.7:
        people.append(_erase_at_last(world, erasers))
    for _ in range(2):
        world.loop.create_task(sealer(world, sealers))
    await asyncio.gather(*people)
    await rest(world)
    world.check_at_rest()


async def _erase_at_last(world: World, erasers: Fleet) -> None:
    """Erase the image; the erasure may begin, pause and end before or after the expiry."""
    await asyncio.sleep(700 + world.dice.uniform(-200, 0))
    world.erasing.add("a")
    _, lake = await erasers.any()
    await patiently(lake.eraser.erase(TENANT, image_id("a")), 2000)


async def _again(world: World, writers: Fleet) -> None:
    await asyncio.sleep(700 + world.dice.uniform(-90, 150))
    for _ in range(12):
        process, lake = await writers.any()
        if world.dice.random() < 0.2:
            doze(world, process, world.dice.uniform(1, 300))
        await patiently(world.upload(process, lake, "a", b"x"), 30)
        await asyncio.sleep(world.dice.uniform(0, 20))


def _never_taken_early(world: World) -> Callable[[str], None]:
    """Watcher that fails if a name is taken over before its image expired by the store's clock."""
    known: dict[str, ImageRecord] = {}

    def watch(key: str) -> None:
        if key != layout.record_key(TENANT, image_id("a")):
            return
        stored = world.record(image_id("a"))
        before = known.get(key)
        if isinstance(stored, ImageRecord):
            known[key] = stored
            if before and before.attempt != stored.attempt:
                left = before.window_start + RETENTION - world.bucket.now()
                if left > timedelta(0) and world.failure is None:
                    world.failure = Broken("an image was taken over before it expired")

    return watch


STORIES: tuple[Story, ...] = (
    working_days,
    working_days,
    erasures,
    week_end,
    closed_hour,
    messages,
    moving_watermark,
    swept_week,
    used_again,
    remade,
)
# Stories that one seed in 17 runs: late ones vary little, and one takes as long as five others.
_EVERY = 17
_SELDOM: dict[int, Story] = {
    0: changed_retention,
    1: late_file,
    2: late_record,
    3: machines_sleep,
    4: spoiled,
    5: hours_ahead,
    6: days_ahead,
    7: sent_again,
    8: stuck_windows,
    9: asked_again,
    10: damaged_records,
    11: frozen,
    14: read_again,
    15: swept_rejections,
}
# Liveness is checked after one seed in three: each kind of story gets its turn, and the check takes
# as long as half a story.
_LIVENESS_EVERY = 3


def tell(seed: int, story: Story | None = None) -> None:
    """Run the story of a seed, or `story` with the randomness of that seed; raises Broken."""
    told = story or _SELDOM.get(seed % _EVERY) or STORIES[seed % len(STORIES)]
    with simulated(seed) as world:
        world.loop.run_until_complete(told(world))
        if seed % _LIVENESS_EVERY == 0:
            world.loop.run_until_complete(check_liveness(world))
