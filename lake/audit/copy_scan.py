"""Audit of compacted copies, from which readers read all hours before the watermark."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from lake import layout
from lake.audit.object_reading import check_answers, first_line, read_object
from lake.audit.row_hash import HASH, RowBuffer, RowFile, hashed
from lake.audit.scope import Scope
from lake.audit.snapshot import Finding
from lake.errors import KeyMissing, Mismatch, StoreUnavailable, UnreadableObject
from lake.retention.file_ends import end_of_file
from lake.seal.compacted import Footer, list_hour, read_footer, sources_of
from lake.seal.hours import hours_with_files
from lake.seal.watermark import Watermark, parse_watermark
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.tables import Table

SAMPLE_BYTES = 32 * 2**20
"""Bytes of copies and segments that an audit reads without `full`."""


class CopyScan:
    """Compares the compacted copies of one table with its chains."""

    def __init__(
        self,
        store: ObjectStore,
        table: Table,
        scope: Scope,
        *,
        rows: Mapping[datetime, int],
        sample_bytes: int | None,
    ) -> None:
        """Scan up to `sample_bytes` of copies and segments; None: all.

        `rows`: number of rows in the segments of each hour, by the scan of rows.
        """
        self._store = store
        self._table = table
        self._scope = scope
        self._rows = rows
        self._bytes = sample_bytes
        """bytes that may still be read"""

    async def faults(self) -> AsyncIterator[Finding]:
        """Yield the faults; raises StoreUnavailable if the store can't be listed.

        The footer of each copy is compared with the listed segments, and with the number of rows.
        The rows of hours that are drawn at random are compared up to `sample_bytes`, and those of
        hours with another number of rows.
        """
        async for stored in self._store.walk(self._table.folders.compacted):
            for fault in self._names(stored):
                yield fault
        watermark = Watermark()
        try:
            watermark = await self._watermark()
        except UnreadableObject as error:
            yield Finding("unreadable", str(error.value), first_line(error))
        for name, moment in asdict(watermark).items():
            if moment is not None and self._scope.is_future(moment):
                key = layout.watermark_key(self._table.folders)
                yield Finding("future", key, f"{name} is {moment:%F %T}")
        end = min(watermark.complete_before, self._scope.end - layout.HOUR + timedelta.resolution)
        listed = await hours_with_files(self._store, self._table)
        if listed.errors:
            raise listed.errors[0]
        due = [hour for hour in sorted(listed.hours) if self._scope.row_floor <= hour < end]
        random.shuffle(due)  # the sample is of other hours each time
        for hour in due:
            for fault in await self._hour(hour):
                yield fault

    def _names(self, stored: Stored) -> list[Finding]:
        """Faults that the name of a compacted file shows."""
        end = end_of_file(stored.key)
        if end is not None and self._scope.is_overdue(end):
            return [Finding("overdue", stored.key, f"hour until {end:%F %T}")]
        first = layout.parse_compacted_key(stored.key)
        if first is None:
            return [Finding("orphan", stored.key, "not a compacted file")]
        if layout.compacted_key(first, self._table.folders) != stored.key:
            return [Finding("misplaced", stored.key, "a compacted file of another hour")]
        if self._scope.is_future(first):
            return [Finding("future", stored.key, "the hour has not begun")]
        return []

    async def _watermark(self) -> Watermark:
        """Read the watermark; raises UnreadableObject."""
        key = layout.watermark_key(self._table.folders)
        try:
            data, _ = await read_object(self._store, key)
        except KeyMissing:
            return Watermark()
        return parse_watermark(key, data)

    async def _hour(self, start: datetime) -> list[Finding]:
        prefix = layout.compacted_prefix(start, self._table.folders)
        faults: list[Finding] = []
        try:
            hour = await list_hour(self._store, start, self._table)
            first = hour.compacted.get(hour.start)
            if first is None:
                files = [file for files in hour.chains.values() for file in files]
                missing = Finding("stale_copy", prefix, "the hour has no copy")
                return [missing] if self._old(files) else []
            hour.cuts = (await self._footer(first)).cuts
            faults += [
                Finding(
                    "duplicate_row",
                    layout.compacted_key(cut, self._table.folders),
                    "the hour's first file does not name this file",
                )
                for cut in hour.compacted.keys() - set(hour.cuts)
            ]
            sources = {cut: hour.sources(cut) for cut in hour.cuts}
            copies = {cut: hour.compacted.get(cut) for cut in hour.cuts}
            footers = [await self._footer(copy) for copy in copies.values() if copy]
            # A copy that is as large as its segments is read only if it is drawn.
            odd = sum(footer.rows for footer in footers) != self._rows.get(start, 0)
            for cut in hour.cuts:
                faults += await self._copy(start, copies[cut], sources[cut], odd=odd)
        except (Mismatch, KeyMissing):
            return []  # a compactor is rewriting this hour
        except UnreadableObject as error:
            return [*faults, Finding("unreadable", str(error.value or prefix), first_line(error))]
        return faults

    async def _footer(self, copy: Stored) -> Footer:
        """Read the footer of a copy; raises UnreadableObject, Mismatch, KeyMissing."""
        try:
            return await read_footer(self._store, copy)
        except StoreUnavailable as error:
            await check_answers(self._store)
            raise UnreadableObject(f"{copy.key}: {error.detail}", value=copy.key) from error

    async def _copy(
        self, start: datetime, copy: Stored | None, sources: list[Stored], *, odd: bool
    ) -> list[Finding]:
        if copy is None:
            prefix = layout.compacted_prefix(start, self._table.folders)
            missing = Finding("stale_copy", prefix, "a compacted file is missing")
            return [missing] if self._old(sources) else []
        named = dict((await self._footer(copy)).sources)
        lost = sorted(named.keys() - dict(sources_of(sources)))
        if lost:
            # The copy was listed before the chains, whose files stay until they expire.
            chain = layout.hour_prefix(start, self._table.folders)
            detail = f"{copy.key} was made from it"
            return [Finding("missing_file", f"{chain}/{name}", detail) for name in lost]
        changed = [file for file in sources if sources_of([file])[0] not in named.items()]
        if changed or len(named) != len(sources):
            if not self._old(changed):
                return []
            return [Finding("stale_copy", copy.key, f"not made from {changed[0].key} as it is now")]
        return await self._compared(copy, sources) if odd or self._is_drawn(copy, sources) else []

    def _is_drawn(self, copy: Stored, sources: list[Stored]) -> bool:
        """True if the rows of this copy are compared; counts the bytes to read."""
        if self._bytes is None:
            return True
        size = copy.size + sum(source.size for source in sources)
        if size > self._bytes:
            return False
        self._bytes -= size
        return True

    async def _compared(self, copy: Stored, sources: list[Stored]) -> list[Finding]:
        """Compare the rows of a copy with those of its segments."""
        try:
            wanted = await self._read(sources)
        except UnreadableObject:
            return []  # the scan of rows has reported the segment
        held = await self._read([copy])
        if held == wanted:
            return []
        number = f"{held.rows} rows, and {wanted.rows} in its segments"
        detail = number if held.rows != wanted.rows else "rows differ"
        return [Finding("wrong_copy", copy.key, detail)]

    async def _read(self, files: Sequence[Stored]) -> "_Sum":
        """Read all rows of some files, one file after the other."""
        total, buffer = _Sum(), RowBuffer()
        for file in files:
            data, stored = await read_object(self._store, file.key)
            if stored.etag != file.etag:
                raise Mismatch(f"{file.key} has changed since it was listed")
            await asyncio.to_thread(total.add_file, file.key, data, self._table, buffer)
        await asyncio.to_thread(total.add, buffer.drain(), self._table)
        return total

    def _old(self, files: Sequence[Stored]) -> bool:
        """True if the copy of these segments should be up to date by now."""
        followed = 2 * self._scope.times.compaction_round
        return bool(files) and min(f.modified for f in files) + followed <= self._scope.now


@dataclass(slots=True)
class _Sum:
    """Number of rows, and the sum of their hashes: equal for equal rows in any order."""

    rows: int = 0
    hashes: int = 0

    def add_file(self, key: str, data: bytes, of: Table, buffer: RowBuffer) -> None:
        """Add the rows of a file; the last ones stay in the buffer."""
        file = RowFile(key, data, of)
        while file.left:
            self.add(buffer.add(file.read()), of)

    def add(self, rows: pa.Table | None, of: Table) -> None:
        """Add rows."""
        if rows is None:
            return
        hashes = hashed(rows, of, [])[HASH].to_numpy()
        self.rows += len(hashes)
        self.hashes = (self.hashes + int(hashes.sum(dtype=np.uint64))) % 2**64  # wraps around
