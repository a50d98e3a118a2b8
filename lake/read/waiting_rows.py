"""Unsealed rows of one tenant, and the erasures that wait for a sealer, window by window.

A journal object never changes, so a process reads each object once and keeps its rows. Each page
lists the journal of its windows anew; it reads objects that are new, and forgets those that are
gone: a sealer has consumed them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from lake import layout
from lake.commit.journal_objects import JournalRows, distinct
from lake.commit.journal_reading import read_wave, waves
from lake.read.window_journal import WindowJournal
from lake.store.bounded_gather import bounded_gather
from lake.store.object_store import ObjectStore
from lake.tables.schema import IMAGES

# Rows of 70,000 images, or the names of 200,000 journal objects.
_MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Waiting:
    """Unsealed rows of a tenant by window, each image once; erased ids by window."""

    rows: Mapping[datetime, pa.Table] = field(default_factory=dict)
    erased: Mapping[datetime, AbstractSet[str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Slot:
    """Known journal of a window; one task at a time brings it up to date."""

    journal: WindowJournal = field(default_factory=WindowJournal)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class WaitingRows:
    """Reads the journal for listings; an object that does not parse has no rows for them.

    Memory is bounded by `max_bytes`: the windows that were not listed for the longest time are
    forgotten. Rows of a window that is larger than that are read again for each page.
    """

    def __init__(self, store: ObjectStore, max_bytes: int = _MAX_BYTES) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._slots: OrderedDict[datetime, _Slot] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Memory of all that is remembered, in bytes, roughly."""
        return sum(slot.journal.nbytes for slot in self._slots.values())

    async def windows(self) -> set[datetime]:
        """List the windows that have a journal, forget all others; raises StoreUnavailable."""
        windows = set(layout.windows_of(await self._store.folders(layout.JOURNAL)))
        for gone in self._slots.keys() - windows:
            del self._slots[gone]
        return windows

    async def read(self, tenant: str, windows: Sequence[datetime]) -> Waiting:
        """Read what waits in these windows; raises StoreUnavailable."""
        journals = await bounded_gather(self._journal, windows)
        tables = await bounded_gather(partial(self._rows, tenant), journals)
        erased = await asyncio.to_thread(lambda: [journal.erased for journal in journals])
        rows = {each: rows for each, rows in zip(windows, tables, strict=True) if len(rows)}
        return Waiting(rows, dict(zip(windows, erased, strict=True)))

    async def _journal(self, window_start: datetime) -> WindowJournal:
        """List the journal of a window, and read the objects that are new."""
        listed = await self._store.objects(layout.journal_prefix(window_start))
        slot = self._slots.setdefault(window_start, _Slot())
        self._slots.move_to_end(window_start)
        async with slot.lock:
            new = [stored for stored in listed if stored.key not in slot.journal.objects]
            keys = {stored.key for stored in listed}
            if gone := slot.journal.objects.keys() - keys:
                slot.journal = await asyncio.to_thread(slot.journal.without, gone)
            for wave in waves(new):
                decoded = await read_wave(self._store, wave)
                slot.journal = await asyncio.to_thread(slot.journal.extended, wave, decoded)
            journal = slot.journal
            if journal.nbytes > self._max_bytes:
                slot.journal = journal.without_rows()
        self._make_room()
        return journal

    def _make_room(self) -> None:
        used = self.nbytes
        while used > self._max_bytes:
            used -= self._slots.popitem(last=False)[1].journal.nbytes

    async def _rows(self, tenant: str, journal: WindowJournal) -> pa.Table:
        if journal.rows is not None:
            tables = [each.rows for each in journal.rows]
            return await asyncio.to_thread(_of_tenant, tables, tenant)
        tables = []
        for wave in waves(journal.objects_of(tenant)):
            # An object that is gone was sealed meanwhile, and its rows are in the chain.
            decoded = await read_wave(self._store, wave)
            tables.append(await asyncio.to_thread(_of_tenant, decoded.images, tenant))
        return await asyncio.to_thread(_of_tenant, tables, tenant)


def _of_tenant(tables: Sequence[pa.Table], tenant: str) -> pa.Table:
    """Rows of a tenant, each image once."""
    own = [rows.filter(pc.equal(rows["tenant"], tenant)) for rows in tables]
    images = pa.concat_tables([IMAGES.empty_table(), *own])
    return distinct(JournalRows(images)).images if len(images) else images
