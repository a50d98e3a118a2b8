"""What waits in the journal of one home, a bounded piece at a time."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from lake import layout
from lake.aside import Aside
from lake.clock import StoreClock
from lake.errors import KeyMissing, UnreadableObject
from lake.ids import Halves, parse_ids
from lake.object_store import ObjectStore
from lake.rows import JournalRows, decode_journal
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
# Read at once: enough to hide S3's 20 ms, and what several such objects may take in memory.
_READERS = 16
_WAVE_BYTES = 8 * 2**20
# A journal of more stored bytes is large.
_LARGE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows and tombstones of some journal objects; rows may repeat an id."""

    images: pa.Table
    ids: Halves
    tombstones: tuple[Tombstone, ...]
    objects: Sequence[tuple[Stored, JournalRows]]
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
        gone = []
        for stored, rows in batch.objects:
            due = stored.modified + _TOMBSTONE_AGE
            if not rows.tombstones or due <= now:
                gone.append(stored.key)
            else:
                self._rest(stored.key, min(due, now + _NAP))
        for start in range(0, len(gone), _READERS):
            await asyncio.gather(*map(self._store.delete, gone[start : start + _READERS]))

    def _rests(self, stored: Stored) -> bool:
        return self._resting.get(stored.key, self._clock.now()) > self._clock.now()

    def _rest(self, key: str, until: datetime) -> None:
        self._resting[key] = until
        self._resting.move_to_end(key)
        if len(self._resting) > _MAX_RESTING:
            self._resting.popitem(last=False)

    async def _read(self, objects: list[Stored], *, large: bool) -> tuple[Batch, list[Stored]]:
        """A batch from the first of these objects, and the objects that are left."""
        found: list[tuple[Stored, JournalRows]] = []
        size = unreadable = 0
        while objects and size < self._batch_bytes:
            wave, objects = _wave(objects)
            for stored, rows in zip(
                wave, await asyncio.gather(*map(self._open, wave)), strict=True
            ):
                if isinstance(rows, JournalRows):
                    found.append((stored, rows))
                    size += rows.images.nbytes
                else:
                    unreadable += rows
        images = pa.concat_tables(
            [self._table.columns.empty_table(), *(rows.images for _, rows in found)]
        )
        tombstones = tuple(t for _, rows in found for t in rows.tombstones)
        ids = await self._aside.run(parse_ids, images[self._table.id])
        return Batch(images, ids, tombstones, found, unreadable, large), objects

    async def _open(self, stored: Stored) -> JournalRows | int:
        """The rows of an object; without: how many unreadable objects that makes."""
        try:
            data, _ = await self._store.get(stored.key)
            return await self._aside.run(decode_journal, stored.key, data, self._table)
        except KeyMissing:
            return 0  # another sealer was quicker
        except UnreadableObject:
            # It stays where it is, and is an alarm; the others go on.
            log.exception("unreadable journal object %s", stored.key)
            self._rest(stored.key, self._clock.now() + _NAP)
            return 1


def _wave(objects: list[Stored]) -> tuple[list[Stored], list[Stored]]:
    """The first of these objects that may be read at once, at least one; and the others."""
    size = count = 0
    for stored in objects[:_READERS]:
        size += stored.size
        if count and size > _WAVE_BYTES:
            break
        count += 1
    return objects[:count], objects[count:]
