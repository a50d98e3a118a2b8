"""Rows that wait in the journal of one window, in batches of bounded size."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from cachetools import FIFOCache

from lake import layout
from lake.commit.journal_objects import Decoded
from lake.commit.journal_reading import first_wave, read_wave
from lake.errors import LakeError, StoreDenied, UnreadableObject
from lake.logs import logger
from lake.seal.sizes import SealerSizes
from lake.store.bounded_gather import bounded_gather
from lake.store.clock import StoreClock
from lake.store.idle_executor import IdleExecutor
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.ids import Halves, parse_ids
from lake.tables.schema import Tombstone
from lake.tables.tables import IMAGE_TABLE, Table

log = logger(__name__)

# Largest number of remembered names of paused objects, 200 bytes each; others are read again.
_MAX_RESTING = 100_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows and tombstones of some journal objects; rows may repeat an id."""

    images: pa.Table
    ids: Halves
    tombstones: tuple[Tombstone, ...]
    objects: Sequence[Stored]
    """journal objects with rows only"""
    erasures: Sequence[Stored]
    """journal objects with tombstones"""
    unreadable: int
    large: bool
    """True if `JournalBatches.large` is held until the next batch"""

    @property
    def dead(self) -> frozenset[str]:
        """Ids that this batch erases."""
        return frozenset(tombstone.image_id for tombstone in self.tombstones)


class JournalBatches:
    """Reads journals for one sealer; reads tombstones and unreadable objects every 10 minutes."""

    def __init__(
        self,
        store: ObjectStore,
        clock: StoreClock,
        idle_executor: IdleExecutor,
        sizes: SealerSizes,
        table: Table = IMAGE_TABLE,
    ) -> None:
        self._table = table
        self._store = store
        self._clock = clock
        self._idle_executor = idle_executor
        self._sizes = sizes
        self._resting: FIFOCache[str, datetime] = FIFOCache(_MAX_RESTING)
        self._unreadable: dict[str, datetime] = {}
        """unreadable objects, with their windows"""
        self.large = asyncio.Lock()
        """lock of the one task that may have a large batch in memory"""

    @property
    def unreadable(self) -> int:
        """Number of journal objects that did not parse when they were last read."""
        return len(self._unreadable)

    def keep(self, windows: Iterable[datetime]) -> None:
        """Forget the unreadable objects of all windows but these."""
        kept = set(windows)
        self._unreadable = {key: at for key, at in self._unreadable.items() if at in kept}

    async def batches(self, window_start: datetime) -> AsyncGenerator[Batch]:
        """Yield all rows of a window's journal, in batches of about `batch_bytes` at most.

        The caller must close the generator (`aclosing`), because the generator may hold `large`,
        and give sealed batches to `consume`. Raises StoreUnavailable.
        """
        prefix = layout.journal_prefix(window_start, self._table.folders)
        after: str | None = None
        while True:
            page = await self._store.page(prefix, self._sizes.page, after)
            if after is None and len(page) < self._sizes.page:
                self._forget(window_start, {stored.key for stored in page})
            awake = [stored for stored in page if not self._rests(stored)]
            large = sum(stored.size for stored in awake) > self._sizes.large_bytes
            async with self.large if large else nullcontext():
                while awake:
                    batch, awake = await self._read(window_start, awake, large=large)
                    yield batch
                    del batch  # otherwise two batches are in memory while the next one is read
            if len(page) < self._sizes.page:
                return
            after = page[-1].key

    async def consume(self, batch: Batch, *, erasures: bool = True) -> int:
        """Delete the journal objects of a sealed batch; tombstones only once they are old.

        `erasures`: all erasures of the batch are finished. Otherwise their tombstones stay. Returns
        the number of objects that can't be deleted (a legal hold, a policy): their rows are sealed,
        and a pass after `tombstone_pause` tries again. Raises Unavailable.
        """
        now, times = self._clock.now(), self._clock.times
        gone = [stored.key for stored in batch.objects]
        for stored in batch.erasures:
            due = stored.modified + times.tombstone_age
            if not erasures:
                self._rest(stored.key, now + times.tombstone_pause)
            elif due <= now:
                gone.append(stored.key)
            else:
                self._rest(stored.key, min(due, now + times.tombstone_pause))
        try:
            await self._store.delete_many(gone)
        except LakeError:
            return await self._delete_each(gone)
        return 0

    async def _delete_each(self, keys: Sequence[str]) -> int:
        """Delete all objects that can be deleted; returns the number of the others.

        Raises the first error if none can be deleted and the store denies none: it is unavailable.
        """

        async def delete(key: str) -> LakeError | None:
            try:
                await self._store.delete(key)
            except LakeError as error:
                return error
            return None

        answers = await bounded_gather(delete, keys)
        failed = [(key, error) for key, error in zip(keys, answers, strict=True) if error]
        if len(failed) == len(keys) and not any(isinstance(e, StoreDenied) for _, e in failed):
            raise failed[0][1]
        for key, error in failed:
            log.warning("journal object not deleted", key=key, error=error)
            self._rest(key, self._clock.now() + self._clock.times.tombstone_pause)
        return len(failed)

    def _rests(self, stored: Stored) -> bool:
        now = self._clock.now()
        # A pause that is longer was begun by a clock that was ahead.
        return now < self._resting.get(stored.key, now) <= now + self._clock.times.tombstone_pause

    def _rest(self, key: str, until: datetime) -> None:
        self._resting[key] = until

    def _forget(self, window_start: datetime, listed: set[str]) -> None:
        """Forget the unreadable objects of a window that are not listed."""
        gone = [key for key, at in self._unreadable.items() if at == window_start]
        for key in set(gone) - listed:
            del self._unreadable[key]

    async def _read(
        self, window_start: datetime, objects: list[Stored], *, large: bool
    ) -> tuple[Batch, list[Stored]]:
        """Read a batch from the first of these objects; returns it and the remaining objects."""
        content = Decoded()
        read: list[Stored] = []
        size = 0
        while objects and size < self._sizes.batch_bytes:
            count = first_wave(objects, self._sizes.wave_bytes)
            wave, objects = objects[:count], objects[count:]
            decoded = await read_wave(self._store, wave, self._table, self._idle_executor.run)
            size += sum(table.nbytes for table in decoded.images)
            read += wave
            content.add(decoded)
        for key in content.keys:
            self._unreadable.pop(key, None)
        self._unreadable |= dict.fromkeys(content.unreadable, window_start)
        self._report(content.unreadable)
        rows = content.rows(self._table)
        ids = await self._idle_executor.run(parse_ids, rows.images[self._table.id])
        decodable = [stored for stored in read if stored.key in content.keys]
        batch = Batch(
            images=rows.images,
            ids=ids,
            tombstones=rows.tombstones,
            objects=[stored for stored in decodable if stored.key not in content.tombstones],
            erasures=[stored for stored in decodable if stored.key in content.tombstones],
            unreadable=len(content.unreadable),
            large=large,
        )
        return batch, objects

    def _report(self, unreadable: Mapping[str, UnreadableObject]) -> None:
        """Log unreadable objects and leave them in the journal; the other objects are sealed."""
        for key, error in unreadable.items():
            log.error("journal object does not parse", key=key, exc_info=error)
            self._rest(key, self._clock.now() + self._clock.times.tombstone_pause)
