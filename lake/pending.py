"""What waits in the journal of one home, a bounded piece at a time."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from lake import layout
from lake.aside import Aside
from lake.clock import StoreClock
from lake.errors import UnreadableObject
from lake.ids import Halves, parse_ids
from lake.journal_objects import Decoded
from lake.journal_reading import first_wave, read_wave
from lake.object_store import ObjectStore
from lake.schema import Tombstone
from lake.stored import Stored
from lake.tables import IMAGE_TABLE, Table

log = logging.getLogger(__name__)

# What a paused writer PUT after the erasure is deleted again until then; an attempt lives 10
# minutes and its signatures 15, so an hour is far enough.
_TOMBSTONE_AGE = timedelta(hours=1)
# A tombstone, or an object that nobody can read, is looked at again after so long.
_NAP = timedelta(minutes=10)
# Names of resting objects that are kept, 200 bytes each; forgotten ones are read again.
_MAX_RESTING = 100_000
# Names are listed so many at a time: 10 requests, 4 MB.
_PAGE = 10_000
# A journal of more stored bytes is large.
_LARGE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows and tombstones of some journal objects; rows may repeat an id."""

    images: pa.Table
    ids: Halves
    tombstones: tuple[Tombstone, ...]
    objects: Sequence[Stored]
    """those that hold rows only"""
    erasures: Sequence[Stored]
    """those that hold tombstones"""
    unreadable: int
    large: bool
    """`Pending.large` is held until the next batch"""

    @property
    def dead(self) -> frozenset[str]:
        """Ids that this batch erases."""
        return frozenset(tombstone.image_id for tombstone in self.tombstones)


class Pending:
    """Reads journals for one sealer, and remembers what need not be read again for a while."""

    def __init__(
        self,
        store: ObjectStore,
        clock: StoreClock,
        aside: Aside,
        batch_bytes: int,
        table: Table = IMAGE_TABLE,
    ) -> None:
        self._table = table
        self._store = store
        self._clock = clock
        self._aside = aside
        self._batch_bytes = batch_bytes
        self._resting: OrderedDict[str, datetime] = OrderedDict()
        self.large = asyncio.Lock()
        """held by the one who has much in memory"""

    async def batches(self, home: datetime) -> AsyncGenerator[Batch]:
        """All of a home's journal, at most about `batch_bytes` of rows a batch.

        Close it (`aclosing`): it may hold `large`.
        Raises StoreUnavailable. What is consumed must be given to `consume`.
        """
        prefix = layout.journal_prefix(home, self._table.folders)
        after: str | None = None
        while True:
            page = await self._store.page(prefix, _PAGE, after)
            awake = [stored for stored in page if not self._rests(stored)]
            large = sum(stored.size for stored in awake) > _LARGE_BYTES
            async with self.large if large else nullcontext():
                while awake:
                    batch, awake = await self._read(awake, large=large)
                    yield batch
                    del batch  # two would be in memory while the next one is read
            if len(page) < _PAGE:
                return
            after = page[-1].key

    async def consume(self, batch: Batch) -> None:
        """Delete a batch whose rows are in the chain; its tombstones only once they are old."""
        now = self._clock.now()
        gone = [stored.key for stored in batch.objects]
        for stored in batch.erasures:
            due = stored.modified + _TOMBSTONE_AGE
            if due <= now:
                gone.append(stored.key)
            else:
                self._rest(stored.key, min(due, now + _NAP))
        await self._store.delete_many(gone)

    def _rests(self, stored: Stored) -> bool:
        return self._resting.get(stored.key, self._clock.now()) > self._clock.now()

    def _rest(self, key: str, until: datetime) -> None:
        self._resting[key] = until
        self._resting.move_to_end(key)
        if len(self._resting) > _MAX_RESTING:
            self._resting.popitem(last=False)

    async def _read(self, objects: list[Stored], *, large: bool) -> tuple[Batch, list[Stored]]:
        """A batch from the first of these objects, and the objects that are left."""
        found = Decoded()
        read: list[Stored] = []
        size = 0
        while objects and size < self._batch_bytes:
            count = first_wave(objects)
            wave, objects = objects[:count], objects[count:]
            decoded = await read_wave(self._store, wave, self._table, self._aside.run)
            size += sum(table.nbytes for table in decoded.images)
            read += wave
            found.add(decoded)
        self._report(found.unreadable)
        rows = found.rows(self._table)
        ids = await self._aside.run(parse_ids, rows.images[self._table.id])
        there = [stored for stored in read if stored.key in found.keys]
        batch = Batch(
            images=rows.images,
            ids=ids,
            tombstones=rows.tombstones,
            objects=[stored for stored in there if stored.key not in found.tombstones],
            erasures=[stored for stored in there if stored.key in found.tombstones],
            unreadable=len(found.unreadable),
            large=large,
        )
        return batch, objects

    def _report(self, unreadable: Mapping[str, UnreadableObject]) -> None:
        """They stay where they are, and are an alarm; the others go on."""
        for key, error in unreadable.items():
            log.error("unreadable journal object %s", key, exc_info=error)
            self._rest(key, self._clock.now() + _NAP)
