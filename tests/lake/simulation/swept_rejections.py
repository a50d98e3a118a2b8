"""Story of rejections that expire, are swept, and come again at the same time."""

import asyncio
from dataclasses import replace
from datetime import datetime

from lake import layout
from lake.lake import Lake
from lake.store.store_settings import StoreSettings
from lake.tables.rows import decode_chain_file
from lake.tables.tables import REJECTION_TABLE
from tests.lake.simulation.fleet import Fleet, doze, rest
from tests.lake.simulation.messages import REFUSAL
from tests.lake.simulation.sweeping import calm, disturb, sweep_often
from tests.lake.simulation.world import RETENTION, Broken, World, patiently

_OFFSETS = range(2)
_MARGIN = StoreSettings().margin


async def swept_rejections(world: World) -> None:
    """Two refused messages are read again just when their rejections are swept."""
    readers = Fleet(world, "reader", 3)
    for offset in _OFFSETS:
        window_start = await _refuse((await readers.any())[1], offset)
    due = window_start + RETENTION + _MARGIN
    await asyncio.sleep((due - world.bucket.now()).total_seconds() - 300)
    disturb(world, "reader", lambda key: key.startswith(layout.REJECTION_RECORDS))
    people = [_again(world, readers, offset) for offset in _OFFSETS for _ in range(2)]
    people += [sweep_often(world, number) for number in range(2)]
    await asyncio.gather(*people)
    calm(world)
    await rest(world)
    world.check_at_rest()
    _check(world)


async def _refuse(lake: Lake, offset: int) -> datetime:
    """Refuse a message; returns the window of its rejection."""
    return (await lake.rejections.note(replace(REFUSAL, offset=offset))).window_start


async def _again(world: World, readers: Fleet, offset: int) -> None:
    await asyncio.sleep(world.dice.uniform(290, 800))
    for _ in range(10):
        process, lake = await readers.any()
        if world.dice.random() < 0.2:
            doze(world, process, world.dice.uniform(1, 300))
        if await patiently(_refuse(lake, offset), 60) and process.alive:
            world.settled.add(offset)
        await asyncio.sleep(world.dice.uniform(0, 150))


def _check(world: World) -> None:
    """Check that each message that was settled again has one row, beside rows that have expired."""
    oldest = world.kept.oldest(world.bucket.now())
    offsets = [
        row["offset"]
        for key, data, _ in world.below(REJECTION_TABLE.folders.chains)
        for row in decode_chain_file(key, data, of=REJECTION_TABLE).to_pylist()
        if row["window_start"] > oldest
    ]
    if len(offsets) != len(set(offsets)):
        raise Broken("two rows of one rejection")
    if world.settled - set(offsets):
        raise Broken("a message was settled, and has no row")
