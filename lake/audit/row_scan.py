"""Audit of rows: the journal first, then the chains, because rows move in this direction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from lake import layout
from lake.audit.scope import Scope
from lake.audit.snapshot import SnapshotWriter
from lake.commit.journal_objects import JournalRows
from lake.commit.journal_reading import read_wave, waves
from lake.errors import KeyMissing, UnreadableObject
from lake.retention.sweeper import end_of_file
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.columns import MS
from lake.tables.rows import decode_chain_file, erased_ids

_HOUR = timedelta(hours=1)
# Largest number of objects read at once, and of their bytes; enough to hide a store's latency.
_READERS = 8
_READ_BYTES = 64 * 2**20
_COLUMNS = ["tenant", "image_id", "attempt", "window_start", "content_hash"]


@dataclass(slots=True)
class SeenRows:
    """Counts of a scan: rows and files of the chains, rows and tombstones of the journal."""

    rows: int = 0
    files: int = 0
    waiting: int = 0
    tombstones_waiting: int = 0


class RowScan:
    """Reads journal and chains, a few objects at a time, which bounds the memory."""

    def __init__(self, store: ObjectStore, scope: Scope, snapshot: SnapshotWriter) -> None:
        self._store = store
        self._scope = scope
        self._snapshot = snapshot
        self.seen = SeenRows()

    async def scan_journal(self) -> None:
        """Add every row of the journal to the snapshot; raises StoreUnavailable."""
        for name in await self._store.folders(layout.JOURNAL):
            try:
                window_start = layout.parse_window(name)
            except ValueError:
                self._snapshot.fault("orphan", f"{layout.JOURNAL}/{name}", "not a window")
                continue
            for wave in waves(await self._store.objects(layout.journal_prefix(window_start))):
                await self._journal_objects(window_start, wave)

    async def scan_chains(self) -> None:
        """Add every row of the chains in scope to the snapshot; raises StoreUnavailable."""
        for day in await self._store.folders(layout.LAKE_IMAGES):
            for hour in await self._store.folders(f"{layout.LAKE_IMAGES}/{day}"):
                prefix = f"{layout.LAKE_IMAGES}/{day}/{hour}"
                if self._is_in_scope(prefix):
                    await self._hour(await self._store.objects(prefix))

    async def _journal_objects(self, window_start: datetime, wave: Sequence[Stored]) -> None:
        decoded = await read_wave(self._store, wave)
        for key, error in decoded.unreadable.items():
            self._snapshot.fault("unreadable", key, _first_line(error))
        for stored in wave:
            key, since = stored.key, stored.modified
            if key not in decoded.keys:
                continue  # sealed a moment ago, or unreadable
            if self._scope.is_overdue(window_start):
                self._snapshot.fault("overdue", key, f"window {window_start:%F %T}")
            elif self._scope.is_stale(window_start, since, tombstone=key in decoded.tombstones):
                self._snapshot.fault("stale_journal", key, f"since {since:%F %T}")
        self._note_waiting(decoded.rows(), window_start)

    def _note_waiting(self, rows: JournalRows, window_start: datetime) -> None:
        if len(rows.images):
            self.seen.waiting += len(rows.images)
            table = rows.images.select(_COLUMNS)
            falses = pa.repeat(pa.scalar(value=False), len(table))
            self._snapshot.add_table("waiting", table.append_column("tombstone", falses))
        for erased in rows.tombstones:
            self.seen.tombstones_waiting += 1
            values = (erased.tenant, erased.image_id, erased.attempt, window_start, None, True)
            self._snapshot.add("waiting", *values)

    def _is_in_scope(self, prefix: str) -> bool:
        end = end_of_file(f"{prefix}/")
        if end is None or self._scope.is_overdue(end - _HOUR):
            return True  # reported as a fault by `_hour`
        return end > self._scope.start and end - _HOUR < self._scope.end

    async def _hour(self, objects: Sequence[Stored]) -> None:
        numbers: dict[datetime, set[int]] = {}
        files: list[Stored] = []
        for stored in sorted(objects, key=lambda one: one.key):
            parsed = layout.parse_chain_key(stored.key)
            end = end_of_file(stored.key)
            if end is not None and self._scope.is_overdue(end):
                self._snapshot.fault("overdue", stored.key, f"window {end:%F %T}")
                continue
            if parsed is None:
                self._snapshot.fault("orphan", stored.key, "not a file of a chain")
            elif layout.chain_key(*parsed) != stored.key:
                self._snapshot.fault("misplaced", stored.key, "a file of another hour")
            else:
                numbers.setdefault(parsed[0], set()).add(parsed[1])
            if stored.key.endswith(".parquet"):
                files.append(stored)
        await each(files, self._file)
        for window_start, present in numbers.items():
            missing = sorted(set(range(max(present))) - present)
            for number in missing:
                key = layout.chain_key(window_start, number)
                self._snapshot.fault("missing_file", key, "the chain has a later file")

    async def _file(self, stored: Stored) -> None:
        key = stored.key
        try:
            data, _ = await self._store.get(key)
            table = await asyncio.to_thread(decode_chain_file, key, data, _COLUMNS)
            erased_ids(key, table)
        except KeyMissing:
            return  # swept a moment ago
        except UnreadableObject as error:
            self._snapshot.fault("unreadable", key, _first_line(error))
            return
        self.seen.files += 1
        self.seen.rows += len(table)
        if parsed := layout.parse_chain_key(key):
            window_start = pa.scalar(parsed[0], MS)
            strangers = pc.sum(pc.not_equal(table["window_start"], window_start)).as_py()
            if strangers:
                self._snapshot.fault("misplaced", key, f"{strangers} rows of another window")
        names = pa.repeat(pa.scalar(key), len(table))
        self._snapshot.add_table("rows", table.append_column("file", names))


async def each(objects: Sequence[Stored], look: Callable[[Stored], Awaitable[None]]) -> None:
    """Call `look` for each object, for several objects at once."""
    batch: list[Stored] = []
    for stored in objects:
        size = stored.size + sum(waiting.size for waiting in batch)
        if batch and (len(batch) == _READERS or size > _READ_BYTES):
            await asyncio.gather(*map(look, batch))
            batch = []
        batch.append(stored)
    await asyncio.gather(*map(look, batch))


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
