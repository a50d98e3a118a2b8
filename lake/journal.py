"""The journal: rows that are durable and not yet sealed, group-committed.

The first waiter of a home flushes at once; those that come while its PUT is under way go together
in the next one. No timer: under light load a row waits for one PUT, under heavy load for two.
"""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lake import layout
from lake.object_store import ObjectStore
from lake.rows import encode_images, encode_tombstone
from lake.schema import ImageRecord, Tombstone

MAX_ROWS = 4096


@dataclass(slots=True)
class _Lane:
    """Rows of one home that wait for the next PUT."""

    waiting: list[tuple[ImageRecord, asyncio.Future[None]]] = field(default_factory=list)
    flusher: asyncio.Task[None] | None = None


class Journal:
    """Appends rows; one per process is enough, any number is safe."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lanes: dict[datetime, _Lane] = {}

    async def append(self, record: ImageRecord) -> None:
        """Return when the row is durable; raises StoreUnavailable or StoreFull.

        After an error the row may be there all the same; append it again under any name.
        """
        lane = self._lanes.setdefault(record.home, _Lane())
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.append((record, done))
        if lane.flusher is None:
            lane.flusher = asyncio.create_task(self._flush(record.home, lane))
        await done

    async def append_tombstone(self, tombstone: Tombstone) -> None:
        """Return when the erasure is durable; raises StoreUnavailable or StoreFull."""
        key = layout.journal_key(tombstone.home, uuid.uuid4().hex)
        await self._store.put(key, encode_tombstone(tombstone))

    async def _flush(self, home: datetime, lane: _Lane) -> None:
        while lane.waiting:
            batch, lane.waiting = lane.waiting[:MAX_ROWS], lane.waiting[MAX_ROWS:]
            try:
                await self._put(home, [record for record, _ in batch])
            except Exception as error:  # noqa: BLE001  # each waiter raises it in its own task
                _settle([done for _, done in batch], error)
            else:
                _settle([done for _, done in batch], None)
        # No await between the last check of `waiting` and here: nobody can have come.
        del self._lanes[home]

    async def _put(self, home: datetime, records: Sequence[ImageRecord]) -> None:
        key = layout.journal_key(home, uuid.uuid4().hex)
        await self._store.put(key, encode_images(records))


def _settle(waiters: Sequence[asyncio.Future[None]], error: Exception | None) -> None:
    for done in waiters:
        if done.done():  # its caller was cancelled
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
