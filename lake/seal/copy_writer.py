"""Writer of compacted copies, which goes on where a segment does not parse.

The rows of such a segment are those of the present copy. A copy that never had them lacks them, and
its footer names the segment. Otherwise one such segment would hold its hour, and with it the
watermark, until it expires.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from lake import layout
from lake.errors import Mismatch, OldColumns, UnreadableObject
from lake.seal.compacted import Footer, name_of, sources_of
from lake.store.idle_executor import IdleExecutor
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.row_groups import RowGroups
from lake.tables.rows import ROW_GROUP, decode_chain_file, erased_ids
from lake.tables.table_file import TableFile
from lake.tables.tables import Table


@dataclass(frozen=True, slots=True)
class Copied:
    """Present copy of some segments: `stored` is None without one, `footer` if it is unreadable."""

    stored: Stored | None
    footer: Footer | None

    def has(self, segment: Stored) -> bool:
        """True if this copy has the rows of a segment."""
        if self.footer is None:
            return False
        name = name_of(segment)
        return name in dict(self.footer.sources) and name not in self.footer.unreadable


@dataclass(slots=True)
class _Read:
    """Segments of a copy as they were read; those that do not parse, in `unreadable`, as listed."""

    segments: list[Stored] = field(default_factory=list)
    unreadable: list[Stored] = field(default_factory=list)


class CopyWriter:
    """Writes the copies of one table."""

    def __init__(self, store: ObjectStore, idle_executor: IdleExecutor, table: Table) -> None:
        self._store = store
        self._idle_executor = idle_executor
        self._table = table

    async def write(
        self, file: IO[bytes], segments: list[Stored], cuts: tuple[datetime, ...], present: Copied
    ) -> int:
        """Write the rows of these segments to a file; returns the number of rows.

        The rows of a segment that does not parse are taken from the present copy if it has them.
        Raises UnreadableObject if the present copy does not parse either.
        """
        rows, read = 0, _Read()
        with RowGroups(file, self._table) as groups:
            for segment in segments:
                if (table := await self._rows_of(segment, read, present)) is not None:
                    rows += len(table)
                    await self._idle_executor.run(groups.add, table)
                    del table
            kept = [segment for segment in read.unreadable if present.has(segment)]
            if kept and present.stored is not None:
                async for table in self._salvaged(kept, read, present.stored):
                    rows += len(table)
                    await self._idle_executor.run(groups.add, table)
            lacking = tuple(name_of(each) for each in read.unreadable if each not in kept)
            names = tuple(map(name_of, kept))
            footer = Footer(sources_of(read.segments), cuts, lacking, names)
            await self._idle_executor.run(groups.close, footer.encode())
        file.flush()
        pa.default_memory_pool().release_unused()
        return rows

    async def _rows_of(self, segment: Stored, read: _Read, present: Copied) -> pa.Table | None:
        """Read a segment and note it in `read`; None if it does not parse."""
        try:
            table, stored = await self._read(segment)
        except UnreadableObject as error:
            unknown = present.stored is not None and present.footer is None
            if unknown or isinstance(error, OldColumns):
                raise
            read.unreadable.append(segment)
            read.segments.append(segment)
            return None
        # Name the version that was read, which may be newer than the listed one.
        read.segments.append(stored)
        return table

    async def _salvaged(
        self, kept: list[Stored], read: _Read, copy: Stored
    ) -> AsyncIterator[pa.Table]:
        """Yield the rows in the present copy of all windows of these segments.

        Leaves out rows that another segment of their window has or erased. Raises UnreadableObject,
        Mismatch, KeyMissing.
        """
        starts = {start for each in kept if (start := _window_of(each))}
        known = {start: await self._known(start, read) for start in sorted(starts)}
        data, stored = await self._store.get(copy.key)
        if stored.etag != copy.etag:
            raise Mismatch(f"{stored.key} has changed since it was listed")
        open_copy = partial(TableFile, stored.key, data, self._table)
        file: TableFile = await self._idle_executor.run(open_copy)
        slices = file.slices(ROW_GROUP)
        while (rows := await self._idle_executor.run(next, slices, None)) is not None:
            for start, ids in known.items():
                yield await self._idle_executor.run(_of_window, rows, start, ids, self._table)

    async def _known(self, start: datetime, read: _Read) -> pa.Array:
        """Ids that the readable segments of a window have or erased."""
        known: set[str] = set()
        for segment in read.segments:
            if segment not in read.unreadable and _window_of(segment) == start:
                table, _ = await self._read(segment)
                known |= {*table[self._table.id].to_pylist(), *erased_ids(segment.key, table)}
        return pa.array(sorted(known), pa.string())

    async def still_unreadable(self, footer: Footer, segments: list[Stored]) -> bool:
        """Read again the segments that did not parse; True if none of them parses now."""
        for segment in segments:
            if name_of(segment) in {*footer.unreadable, *footer.kept}:
                try:
                    await self._read(segment)
                except UnreadableObject:
                    continue
                return False
        return True

    async def _read(self, segment: Stored) -> tuple[pa.Table, Stored]:
        data, stored = await self._store.get(segment.key)
        decode = partial(decode_chain_file, segment.key, data, of=self._table)
        return await self._idle_executor.run(decode), stored


def _window_of(segment: Stored) -> datetime | None:
    parsed = layout.parse_chain_key(segment.key)
    return parsed[0] if parsed else None


def _of_window(rows: pa.Table, start: datetime, known: pa.Array, table: Table) -> pa.Table:
    """Rows of one window, without those with known ids."""
    own = rows.filter(pc.equal(rows["window_start"], pa.scalar(start)))
    return own.filter(pc.invert(pc.is_in(own[table.id], known)))
