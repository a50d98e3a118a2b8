"""Journal: rows that are durable and not yet sealed, written by group commit.

The first row of a window is PUT at once. Rows that arrive during a PUT share the next PUT, which
starts 10 ms after the start of the last one, or when a PUT ends. So a row waits for one PUT and
10 ms, at any load.
"""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

from lake import layout
from lake.commit.journal_objects import FEW_ROWS, encode_records, encode_tombstone, extension_of
from lake.errors import UnstorableRow
from lake.logs import logger, unbound
from lake.store.object_store import ObjectStore
from lake.tables.schema import Tombstone
from lake.tables.tables import IMAGE_TABLE, Journaled, Table

T = TypeVar("T", bound=Journaled)

log = logger(__name__)

MAX_ROWS = 4096
"""largest number of rows in a journal object"""
# Cache of durable rows, 250 bytes each: repeated uploads of the same image cost no PUT.
_MAX_DURABLE = 50_000
# Time between the starts of two PUTs in seconds, so that rows of several uploads share a PUT.
_PAUSE = 0.01
# Largest number of PUTs at once for one window; further rows wait until a PUT ends.
_IN_FLIGHT = 8

_Batch = list[tuple[Journaled, asyncio.Future[None]]]


@dataclass(slots=True)
class _Lane:
    """Rows of one window that wait for the next PUT, and running PUTs."""

    waiting: _Batch = field(default_factory=list)
    puts: set[asyncio.Task[None]] = field(default_factory=set)
    begun: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Journal:
    """Appends rows of one table; one per process is enough, any number is safe."""

    def __init__(self, store: ObjectStore, table: Table = IMAGE_TABLE) -> None:
        self._store = store
        self._table = table
        self._lanes: dict[datetime, _Lane] = {}
        self._durable: OrderedDict[tuple[datetime, tuple[str, ...]], None] = OrderedDict()

    async def append(self, record: Journaled) -> None:
        """Append a row; it is durable when this returns.

        Raises StoreUnavailable, StoreFull, UnstorableRow. After an error the row may exist all the
        same; appending it again is safe.
        """
        # A journaled row stays in journal or chain until it expires or is erased.
        row = record.window_start, record.row_name
        if row in self._durable:
            return
        lane = self._lanes.setdefault(record.window_start, _Lane())
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.append((record, done))
        self._pump(record.window_start, lane)
        await done
        self._durable[row] = None
        if len(self._durable) > _MAX_DURABLE:
            self._durable.popitem(last=False)

    async def append_all(self, records: Sequence[T]) -> list[tuple[T, UnstorableRow]]:
        """Append several rows; returns the records that do not fit into a row.

        Raises StoreUnavailable or StoreFull.
        """
        ends = await asyncio.gather(*map(self.append, records), return_exceptions=True)
        bad = []
        for record, end in zip(records, ends, strict=True):
            if isinstance(end, UnstorableRow):
                bad.append((record, end))
            elif end is not None:
                raise end
        return bad

    async def append_tombstone(self, tombstone: Tombstone) -> None:
        """Append an erasure; it is durable when this returns.

        Raises StoreUnavailable or StoreFull.
        """
        key = layout.journal_key(tombstone.window_start, uuid.uuid4().hex)
        await self._store.put(key, encode_tombstone(tombstone))

    def _pump(self, window_start: datetime, lane: _Lane) -> None:
        """Start the next PUT of a lane, now or when its pause ends."""
        if lane.timer:
            lane.timer.cancel()
            lane.timer = None
        if not lane.waiting:
            if not lane.puts:
                self._lanes.pop(window_start, None)
            return
        if len(lane.puts) >= _IN_FLIGHT:
            return
        loop = asyncio.get_running_loop()
        due = lane.begun + _PAUSE
        if lane.puts and loop.time() < due:
            lane.timer = loop.call_at(due, self._pump, window_start, lane)
            return
        lane.begun = loop.time()
        put = loop.create_task(self._flush(window_start, lane), context=unbound())
        lane.puts.add(put)
        put.add_done_callback(partial(self._ended, window_start, lane))

    def _ended(self, window_start: datetime, lane: _Lane, put: asyncio.Task[None]) -> None:
        lane.puts.discard(put)
        self._pump(window_start, lane)

    async def _flush(self, window_start: datetime, lane: _Lane) -> None:
        # The batch is taken here, so that rows of the same loop iteration are included.
        batch, lane.waiting = lane.waiting[:MAX_ROWS], lane.waiting[MAX_ROWS:]
        if not batch:
            return
        try:
            body, batch = await self._encoded(batch)
            if batch:
                key = layout.journal_key(
                    window_start, uuid.uuid4().hex, self._table.folders, extension_of(body)
                )
                await self._store.put(key, body)
        except Exception as error:  # noqa: BLE001  # each waiter raises it in its own task
            _settle([done for _, done in batch], error)
        else:
            _settle([done for _, done in batch], None)

    async def _encoded(self, batch: _Batch) -> tuple[bytes, _Batch]:
        """Encode rows as an object; returns it and the rows that it contains.

        A row that does not fit fails alone; its caller gets the error.
        """
        try:
            return await self._encode([record for record, _ in batch]), batch
        except UnstorableRow:
            good: _Batch = []
            for record, done in batch:
                try:
                    await self._encode([record])
                except UnstorableRow as error:
                    log.exception("row does not fit its table", row="/".join(record.row_name))
                    _settle([done], error)
                else:
                    good.append((record, done))
            return (await self._encode([record for record, _ in good]) if good else b""), good

    async def _encode(self, records: Sequence[Journaled]) -> bytes:
        if len(records) < FEW_ROWS:  # less than a millisecond
            return encode_records(records, self._table)
        return await asyncio.to_thread(encode_records, records, self._table)


def _settle(waiters: Sequence[asyncio.Future[None]], error: Exception | None) -> None:
    for done in waiters:
        if done.done():  # its caller was cancelled
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
