"""Reader of a window's journal; reads as many objects at once as memory allows."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

from lake.commit.journal_objects import Decoded, decode_journals
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.tables import IMAGE_TABLE, Table

# Stored bytes that are read at once: several large objects, or some thousand small ones.
WAVE_BYTES = 8 * 2**20

Runner = Callable[..., Awaitable[Decoded]]
"""Runs a function with its arguments in another thread."""


def first_wave(objects: Sequence[Stored], wave_bytes: int = WAVE_BYTES) -> int:
    """Count the first objects that may be read at once; at least one."""
    size = 0
    for count, stored in enumerate(objects):
        size += stored.size
        if count and size > wave_bytes:
            return count
    return len(objects)


def waves(objects: Sequence[Stored]) -> Iterator[Sequence[Stored]]:
    """Yield all objects, in groups (waves) that may be read at once."""
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
    """Read and decode objects, except those sealed meanwhile; raises StoreUnavailable."""
    keys = [stored.key for stored in wave]
    answers = zip(keys, await store.read_many(keys), strict=True)
    objects = [(key, data) for key, data in answers if data is not None]
    return await run(decode_journals, objects, of)


async def read_journal(
    store: ObjectStore, objects: Sequence[Stored], of: Table = IMAGE_TABLE
) -> Decoded:
    """Read and decode all objects into memory; raises StoreUnavailable."""
    decoded = Decoded()
    for wave in waves(objects):
        decoded.add(await read_wave(store, wave, of))
    return decoded
