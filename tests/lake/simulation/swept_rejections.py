"""Story of rejections that expire, are swept, and come again at the same time."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import datetime
from functools import partial

from lake import layout
from lake.commit.rejections import Refusal
from lake.errors import Fault
from lake.lake import Lake
from lake.retention.sweeper import Sweeper
from lake.store.store_settings import StoreSettings
from lake.tables.rows import decode_chain_file
from lake.tables.tables import REJECTION_TABLE
from tests.lake.samples import TENANT
from tests.lake.simulation.fleet import Fleet, doze, rest
from tests.lake.simulation.store import DELETE_SECONDS
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
    world.bucket.naps = partial(_naps, world, 200)
    world.bucket.replace_naps = partial(_naps, world, 900)
    world.bucket.late_deletes = partial(_late, world)
    world.bucket.compares_deletes = world.dice.random() < 0.3
    people = [_again(world, readers, offset) for offset in _OFFSETS for _ in range(2)]
    people += [_sweeper(world, number) for number in range(2)]
    await asyncio.gather(*people)
    world.bucket.naps = world.bucket.replace_naps = world.bucket.late_deletes = lambda *_: 0.0
    await rest(world)
    world.check_at_rest()
    _check(world)


async def _refuse(lake: Lake, offset: int) -> datetime:
    """Refuse a message; returns the window of its rejection."""
    return (await lake.rejections.note(replace(_REFUSAL, offset=offset))).window_start


def _naps(world: World, longest: float, process: str, key: str) -> float:
    """Pause of a sweeper or reader between its reading or writing of a record and its next step."""
    if not key.startswith(layout.REJECTION_RECORDS) or world.dice.random() < 0.6:
        return 0.0
    return world.dice.uniform(0, longest) if process.startswith(("sweeper", "reader")) else 0.0


def _late(world: World, process: str, _: str) -> float:
    """Delay of a sweeper's DELETE, some to the end of its signature; 0 if it is answered."""
    if not process.startswith("sweeper") or world.dice.random() < 0.7:
        return 0.0
    return world.dice.uniform(1, 5 * DELETE_SECONDS)


async def _again(world: World, readers: Fleet, offset: int) -> None:
    await asyncio.sleep(world.dice.uniform(290, 800))
    for _ in range(10):
        process, lake = await readers.any()
        if world.dice.random() < 0.2:
            doze(world, process, world.dice.uniform(1, 300))
        if await patiently(_refuse(lake, offset), 60) and process.alive:
            world.settled.add(offset)
        await asyncio.sleep(world.dice.uniform(0, 150))


async def _sweeper(world: World, number: int) -> None:
    process, lake = await world.process(f"sweeper{number}")
    sweeper = Sweeper(lake.store, lake.clock)
    for _ in range(6):
        if world.dice.random() < 0.7:
            doze(world, process, world.dice.uniform(1, 300))
        await patiently(sweeper.sweep(), 1000)
        await asyncio.sleep(world.dice.uniform(1, 150))


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


_REFUSAL = Refusal(
    tenant=TENANT,
    topic="images",
    topic_id="4fGq",
    partition=0,
    offset=0,
    message_time=None,
    bytes=1,
    fault=Fault("not_an_image", "it is none"),
    sha256=hashlib.sha256(b"x").hexdigest(),
)
