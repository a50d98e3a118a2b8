"""Stories of a store whose clock is set ahead for some minutes, and is right again afterwards.

The store of a folder has the clock of its machine, and a small S3 server may have lost its battery.
The processes run on one machine with that clock, so their wall clocks are set, too.
"""

import asyncio
from datetime import timedelta

from lake import layout
from lake.lake import Lake
from lake.retention.sweeper import Sweeper
from lake.seal.watermark import parse_watermark
from lake.tables.tables import IMAGE_TABLE
from tests.lake.samples import image_id
from tests.lake.simulation.fleet import run_pass
from tests.lake.simulation.world import Broken, World, patiently

_MINUTE, _HOUR = 60.0, 3600.0


async def hours_ahead(world: World) -> None:
    """Images, claims, a hold and erasures are dated hours ahead; then the clock is right again.

    Rows are sealed and the watermark moves within hours, and not when the wrong time has come.
    """
    _, maintenance = await world.process("maintenance")
    await _work(world, maintenance, "ab", passes=2)
    world.bucket.ahead = world.dice.uniform(0.2, 46) * _HOUR
    await asyncio.sleep(1)
    # A process reads the clock again before it is used, because its wall clock was set.
    await _work(world, maintenance, "cd", passes=world.dice.choice((1, 1, 5)))
    process, lake = await world.process("writer")
    if world.dice.random() < 0.3:
        world.erasing.add("c")
        await patiently(world.erase(process, lake, "c"), 60)
        await _work(world, maintenance, "", passes=1)
    if world.dice.random() < 0.4:
        # The process of the cutover dies, and nobody releases its hold.
        compactor = lake.maintenance.of(IMAGE_TABLE).compactor
        await patiently(compactor.watermark_advance.hold(), 60)
    world.bucket.ahead = 0.0
    await _work(world, maintenance, "ef", passes=28)
    _check_sealed(world)
    _check_watermark(world)
    world.check_at_rest()


async def days_ahead(world: World) -> None:
    """The clock is days ahead while sweepers and sealers run; nothing that is alive is deleted."""
    _, maintenance = await world.process("maintenance")
    await _work(world, maintenance, "ab", passes=1)
    _, lake = await world.process("sweeper")
    sweeper = Sweeper(lake.store, lake.clock)
    await patiently(sweeper.sweep(), 600)
    await asyncio.sleep(world.dice.uniform(0.1, 3) * _HOUR)
    # The rows of these images wait in the journal while the clock is wrong.
    writer = await world.process("writer")
    for name in "cd":
        await world.upload(*writer, name, b"x")
    if world.dice.random() < 0.5:
        world.loop.call_later(world.dice.uniform(0, 1), _set, world, 9 * 24 * _HOUR)
        await patiently(sweeper.sweep(), 600)
    for _ in range(world.dice.choice((1, 4))):
        _set(world, world.dice.uniform(8, 30) * 24 * _HOUR)
        await patiently(sweeper.sweep(), 600)
        await run_pass(maintenance, now=True)
        await asyncio.sleep(world.dice.uniform(1, 70) * _MINUTE)
    _set(world, 0.0)
    await _work(world, maintenance, "ef", passes=28)
    await patiently(sweeper.sweep(), 600)
    _check_sealed(world)
    world.check_at_rest()


async def _work(world: World, maintenance: Lake, names: str, passes: int) -> None:
    """Upload images, and run passes with pauses of ten minutes."""
    writer = await world.process("writer")
    for name in names:
        await world.upload(*writer, name, b"x")
    for _ in range(passes):
        await asyncio.sleep(10 * _MINUTE)
        await run_pass(maintenance, now=False)


def _set(world: World, ahead: float) -> None:
    world.bucket.ahead = ahead


def _check_sealed(world: World) -> None:
    """Check that no row waits for the time that the wrong clock had."""
    sealed = {row for _, row in world.rows()}
    for name in world.promises.acknowledged.keys() - world.promises.erased:
        if image_id(name) not in sealed:
            raise Broken("acknowledged hours ago, and the row is not sealed")


def _check_watermark(world: World) -> None:
    """Check that readers use compacted files of the first hour, which ended hours ago."""
    first = layout.hour_of(world.bucket.now() - timedelta(hours=4))
    key = layout.watermark_key(layout.IMAGE_ROWS)
    found = world.bucket.objects.get(key)
    if found is None or parse_watermark(key, found[0]).complete_before < first:
        raise Broken("the watermark stands for hours")
