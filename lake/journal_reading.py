"""Reading the journal of a home: as many objects at once as memory allows, not one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

from lake.journal_objects import Decoded, decode_journals
from lake.object_store import ObjectStore
from lake.stored import Stored
from lake.tables import IMAGE_TABLE, Table

# What several large objects, or some thousand small ones, may take in memory as they are stored.
WAVE_BYTES = 8 * 2**20

Runner = Callable[..., Awaitable[Decoded]]
"""Runs a function with its arguments beside the event loop."""


def first_wave(objects: Sequence[Stored]) -> int:
    """How many of these objects, at least one, may be read at once."""
    size = 0
    for count, stored in enumerate(objects):
        size += stored.size
        if count and size > WAVE_BYTES:
            return count
    return len(objects)


def waves(objects: Sequence[Stored]) -> Iterator[Sequence[Stored]]:
    """All of these objects, those together that may be read at once."""
    while objects:
        count = first_wave(objects)
        yield objects[:count]
        objects = objects[count:]


async def read_wave(
    store: ObjectStore,
    wave: Sequence[Stored],
    of: Table = IMAGE_TABLE,
    run: Runner = asyncio.to_thread,
) -> Decoded:
    """What these objects hold, without those that are sealed by now; raises StoreUnavailable."""
    keys = [stored.key for stored in wave]
    found = zip(keys, await store.read_many(keys), strict=True)
    there = [(key, data) for key, data in found if data is not None]
    return await run(decode_journals, there, of)


async def read_journal(
    store: ObjectStore, objects: Sequence[Stored], of: Table = IMAGE_TABLE
) -> Decoded:
    """What all of these objects hold, all in memory; raises StoreUnavailable."""
    decoded = Decoded()
    for wave in waves(objects):
        decoded.add(await read_wave(store, wave, of))
    return decoded
