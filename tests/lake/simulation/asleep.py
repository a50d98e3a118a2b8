"""Stories of machines that sleep for minutes or days, while the store's clock goes on.

A clock such as `time.monotonic` stands meanwhile. Some machines are virtual and are paused: then
every clock stands but the wall clock, which is right again when the machine goes on.
"""

import asyncio
from datetime import timedelta
from functools import partial

from lake import layout
from lake.lake import Lake
from lake.retention.sweeper import Sweeper
from lake.store.store_settings import StoreSettings
from lake.tables.schema import ImageRecord
from tests.lake.samples import TENANT, image_id
from tests.lake.simulation.bucket import Process
from tests.lake.simulation.fleet import rest, run_pass
from tests.lake.simulation.world import RETENTION, Broken, World, patiently

_HOUR, _DAY = 3600.0, 86_400.0
_MARGIN = StoreSettings().margin.total_seconds()
# A window lies in the past by its length, the time of an attempt, a late PUT and errors of clocks.
_OLDEST_WINDOW = timedelta(minutes=30)


async def laptop(world: World) -> None:
    """A laptop sleeps between two uploads, or in one; what it acknowledges has a fresh window."""
    process, lake = await world.process("laptop")
    await _upload(world, process, lake, "a")
    for name in "bcd":
        world.loop.call_later(world.dice.uniform(0, 0.4), _sleep, world, process)
        await _upload(world, process, lake, name)
    await run_pass((await world.process("sealer"))[1], now=True)
    _forget_expired(world)
    await rest(world)
    _forget_expired(world)
    world.check_at_rest()


async def sleeping_sweeper(world: World) -> None:
    """A sweeper has read the clock, sleeps, and then deletes images whose names are taken over."""
    writer, elsewhere = await world.process("writer")
    await world.upload(writer, elsewhere, "a", b"x")
    process, lake = await world.process("sweeper")
    slept = world.dice.uniform(0.1, 3) * _HOUR
    await asyncio.sleep(RETENTION.total_seconds() + _MARGIN + world.dice.uniform(0, 60))
    await patiently(lake.clock.fresh(), 60)
    _sleep(world, process, slept)
    world.promises.acknowledged.clear()
    await asyncio.sleep(slept + 1)
    world.bucket.replace_naps = partial(_after_the_marker, world)
    sweeping = world.loop.create_task(patiently(Sweeper(lake.store, lake.clock).sweep(), 60))
    while not sweeping.done():
        await asyncio.sleep(world.dice.uniform(0, 3))
        await patiently(world.upload(writer, elsewhere, "a", b"x"), 60)
    await rest(world)
    world.check_at_rest()


async def sleeping_writer(world: World) -> None:
    """A writer sleeps for days before it sends its record; its objects are swept meanwhile."""
    process, lake = await world.process("writer")
    await patiently(lake.clock.fresh(), 60)
    uploading = world.loop.create_task(patiently(world.upload(process, lake, "a", b"x"), 5 * _DAY))
    world.bucket.put_naps = partial(_after_the_bytes, world, process)
    await asyncio.sleep(1.2 * _DAY)
    _, elsewhere = await world.process("sweeper")
    await patiently(Sweeper(elsewhere.store, elsewhere.clock).sweep(), 600)
    await uploading
    await rest(world)
    world.check_at_rest()


async def machines_sleep(world: World) -> None:
    """Story of a machine that sleeps: a laptop, a sweeper or a writer."""
    story = world.dice.choice((laptop, sleeping_sweeper, sleeping_writer))
    await story(world)


def _sleep(world: World, process: Process, seconds: float | None = None) -> None:
    """Put a machine to sleep, or pause it as a virtual machine."""
    seconds = seconds or world.dice.choice((600, _HOUR, 12 * _HOUR, 3 * _DAY, 8 * _DAY))
    now = world.loop.time()
    if now < process.paused_until:
        return
    stops = process.machine.asleep if world.dice.random() < 0.7 else process.machine.paused
    stops.append((now, now + seconds))
    process.paused_until = now + seconds


async def _upload(world: World, process: Process, lake: Lake, name: str) -> None:
    """Upload until the image is acknowledged, and check that its window is not long over."""
    for _ in range(4):
        if await patiently(world.upload(process, lake, name, b"x"), 30 * _DAY):
            break
        await asyncio.sleep(world.dice.uniform(0, 60))
    stored = world.record(image_id(name))
    if name in world.promises.acknowledged and isinstance(stored, ImageRecord):
        written = world.bucket.objects[layout.record_key(TENANT, image_id(name))][1].modified
        if written - stored.window_start > _OLDEST_WINDOW:
            raise Broken("acknowledged with a window in the past")


def _after_the_bytes(world: World, process: Process, name: str, key: str) -> float:
    """Sleep of a writer after it has sent the original."""
    if name != process.name or "original" not in key:
        return 0.0
    _sleep(world, process, 1.5 * _DAY)
    return process.paused_until - world.loop.time()


def _after_the_marker(world: World, process: str, key: str) -> float:
    """Pause of a sweeper between its marker and its DELETE."""
    marked = process == "sweeper" and key == layout.record_key(TENANT, image_id("a"))
    return world.dice.uniform(0, 9) if marked else 0.0


def _forget_expired(world: World) -> None:
    """Drop acknowledged images that have expired: clients were promised no more."""
    for name in list(world.promises.acknowledged):
        stored = world.record(image_id(name))
        if stored is None or world.kept.expires(stored.window_start) <= world.bucket.now():
            del world.promises.acknowledged[name]
