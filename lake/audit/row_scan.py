"""Audit of rows: the journal first, then the chains, because rows move in this direction."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from lake import layout
from lake.audit.object_reading import first_line, read_object
from lake.audit.row_hash import HASH, RowBuffer, RowFile, hashed
from lake.audit.scope import Scope
from lake.audit.snapshot import SnapshotWriter
from lake.commit.journal_objects import Decoded, JournalRows
from lake.commit.journal_reading import read_wave, waves
from lake.errors import KeyMissing, StoreUnavailable, UnreadableObject
from lake.retention.file_ends import end_of_file
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.columns import MS
from lake.tables.tables import IMAGE_TABLE, Table

_HOUR = timedelta(hours=1)
# Largest number of objects read at once, and of their bytes; enough to hide a store's latency.
_READERS = 8
_READ_BYTES = 64 * 2**20


@dataclass(slots=True)
class SeenRows:
    """Counts of a scan: rows and files of the chains, rows and tombstones of the journal."""

    rows: int = 0
    files: int = 0
    waiting: int = 0
    tombstones_waiting: int = 0


class RowScan:
    """Reads journal and chains of a table, a few objects at a time, which bounds the memory.

    Every page of every column is read, because a damaged page shows in its checksum only.
    """

    def __init__(
        self,
        store: ObjectStore,
        scope: Scope,
        snapshot: SnapshotWriter,
        table: Table = IMAGE_TABLE,
    ) -> None:
        self._store = store
        self._scope = scope
        self._snapshot = snapshot
        self._table = table
        self._folders = table.folders
        self._buffer = RowBuffer()
        self.seen = SeenRows()
        self.hours: Counter[datetime] = Counter()
        """number of rows in the segments of each hour"""

    async def scan_journal(self) -> None:
        """Add every row of the journal to the snapshot; raises StoreUnavailable."""
        for name in await self._store.folders(self._folders.journal):
            try:
                window_start = layout.parse_window(name)
            except ValueError:
                key = f"{self._folders.journal}/{name}"
                self._snapshot.fault("orphan", key, "not a window")
                continue
            prefix = layout.journal_prefix(window_start, self._folders)
            if self._scope.is_future(window_start):
                self._snapshot.fault("future", prefix, "the window has not begun")
            for wave in waves(await self._store.objects(prefix)):
                await self._journal_objects(window_start, wave)

    async def scan_chains(self) -> None:
        """Add every row of the chains in scope to the snapshot; raises StoreUnavailable."""
        chains = self._folders.chains
        for day in await self._store.folders(chains):
            for hour in await self._store.folders(f"{chains}/{day}"):
                prefix = f"{chains}/{day}/{hour}"
                if self._is_in_scope(prefix):
                    await self._hour(await self._store.objects(prefix))
        await self._flush(self._buffer.drain())

    async def _journal_objects(self, window_start: datetime, wave: Sequence[Stored]) -> None:
        decoded = await self._read(wave)
        for key, error in decoded.unreadable.items():
            self._snapshot.fault("unreadable", key, first_line(error))
        for stored in wave:
            key, since = stored.key, stored.modified
            if key not in decoded.keys:
                continue  # sealed a moment ago, or unreadable
            if self._scope.is_overdue(window_start):
                self._snapshot.fault("overdue", key, f"window {window_start:%F %T}")
            elif self._scope.is_stale(window_start, since, tombstone=key in decoded.tombstones):
                self._snapshot.fault("stale_journal", key, f"since {since:%F %T}")
        await self._note_waiting(decoded.rows(self._table), window_start)

    async def _read(self, wave: Sequence[Stored]) -> Decoded:
        """Read journal objects; one that the store does not deliver is unreadable."""
        try:
            return await read_wave(self._store, wave, self._table)
        except StoreUnavailable:
            decoded = Decoded()
        for stored in wave:
            try:
                await read_object(self._store, stored.key)
                decoded.add(await read_wave(self._store, [stored], self._table))
            except KeyMissing:
                continue  # sealed a moment ago
            except UnreadableObject as error:
                decoded.unreadable[stored.key] = error
        return decoded

    async def _note_waiting(self, rows: JournalRows, window_start: datetime) -> None:
        prefix = layout.journal_prefix(window_start, self._folders)
        if len(rows.images):
            self.seen.waiting += len(rows.images)
            table = await asyncio.to_thread(hashed, rows.images, self._table, self._columns)
            self._check_window(prefix, table, window_start)
            falses = pa.repeat(pa.scalar(value=False), len(table))
            self._snapshot.add_table("waiting", self._named(table, "tombstone", falses))
        for erased in rows.tombstones:
            self.seen.tombstones_waiting += 1
            if erased.window_start != window_start:
                self._snapshot.fault("misplaced", prefix, "an erasure of another window")
            values = (erased.tenant, erased.image_id, erased.attempt, window_start, None, True)
            self._snapshot.add("waiting", *values)

    def _is_in_scope(self, prefix: str) -> bool:
        end = end_of_file(f"{prefix}/")
        if end is None or self._scope.is_overdue(end - _HOUR):
            return True  # reported as a fault by `_hour`
        is_future = self._scope.is_future(end - _HOUR)
        return is_future or (end > self._scope.start and end - _HOUR < self._scope.end)

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
            elif layout.chain_key(*parsed, self._folders) != stored.key:
                self._snapshot.fault("misplaced", stored.key, "a file of another hour")
            else:
                numbers.setdefault(parsed[0], set()).add(parsed[1])
                if self._scope.is_future(parsed[0]):
                    self._snapshot.fault("future", stored.key, "the window has not begun")
            if stored.key.endswith(".parquet"):
                files.append(stored)
        await each(files, self._file)
        for window_start, present in numbers.items():
            missing = sorted(set(range(max(present))) - present)
            for number in missing:
                key = layout.chain_key(window_start, number, self._folders)
                self._snapshot.fault("missing_file", key, "the chain has a later file")

    async def _file(self, stored: Stored) -> None:
        key = stored.key
        parsed = layout.parse_chain_key(key)
        try:
            data, _ = await read_object(self._store, key)
            file = await asyncio.to_thread(RowFile, key, data, self._table)
            while file.left:
                rows = await asyncio.to_thread(file.read)
                await self._note(key, rows, parsed[0] if parsed else None)
            erased = file.erased
        except KeyMissing:
            return  # swept a moment ago
        except UnreadableObject as error:
            self._snapshot.fault("unreadable", key, first_line(error))
            return
        self.seen.files += 1
        for image_id in sorted(erased):
            self._snapshot.add("erased", image_id, parsed[0] if parsed else None, key)

    async def _note(self, key: str, rows: pa.Table, window_start: datetime | None) -> None:
        self.seen.rows += len(rows)
        if window_start:
            self.hours[layout.hour_of(window_start)] += len(rows)
            self._check_window(key, rows, window_start)
        names = pa.repeat(pa.scalar(key), len(rows))
        await self._flush(self._buffer.add(rows.append_column("file", names)))

    async def _flush(self, rows: pa.Table | None) -> None:
        """Hash rows of the chains, and add them to the snapshot."""
        if rows is not None:
            table = await asyncio.to_thread(hashed, rows, self._table, [*self._columns, "file"])
            self._snapshot.add_table("rows", self._named(table, "file", table["file"]))

    def _check_window(self, key: str, rows: pa.Table, window_start: datetime) -> None:
        start = pa.scalar(window_start, MS)
        if strangers := pc.sum(pc.not_equal(rows["window_start"].cast(MS), start)).as_py():
            self._snapshot.fault("misplaced", key, f"{strangers} rows of another window")

    @property
    def _columns(self) -> list[str]:
        attempt = ["attempt"] if self._table is IMAGE_TABLE else []
        return ["tenant", self._table.id, *attempt, "window_start"]

    def _named(self, rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
        """Convert rows to columns of the snapshot; a rejection has no attempt."""
        attempts = rows["attempt"] if "attempt" in rows.column_names else pa.repeat("", len(rows))
        return pa.table(
            {
                "tenant": rows["tenant"],
                "image_id": rows[self._table.id],
                "attempt": attempts,
                "window_start": rows["window_start"],
                HASH: rows[HASH],
                name: values,
            }
        )


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
