"""Audit of compacted copies, from which readers read all hours before the watermark."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from lake import layout
from lake.audit.scope import Scope
from lake.audit.snapshot import Finding
from lake.errors import KeyMissing, Mismatch, UnreadableObject
from lake.retention.sweeper import end_of_file
from lake.seal.compacted import list_hour, read_footer, sources_of
from lake.seal.hours import hours_with_files
from lake.seal.watermark import read_watermark
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.rows import decode_chain_file
from lake.tables.tables import Table


class CopyScan:
    """Compares the compacted copies of one table with its chains."""

    def __init__(self, store: ObjectStore, table: Table, scope: Scope, *, full: bool) -> None:
        self._store = store
        self._table = table
        self._scope = scope
        self._full = full

    async def faults(self) -> AsyncIterator[Finding]:
        """Yield the faults; raises StoreUnavailable if the store can't be listed.

        `full` compares ids row by row; otherwise the footers of the copies are compared with the
        listed segments.
        """
        async for stored in self._store.walk(self._table.folders.compacted):
            end = end_of_file(stored.key)
            if end is not None and self._scope.is_overdue(end):
                yield Finding("overdue", stored.key, f"hour until {end:%F %T}")
        watermark, _ = await read_watermark(self._store, self._table.folders)
        end = min(watermark.complete_before, self._scope.end - layout.HOUR + timedelta.resolution)
        for hour in await hours_with_files(self._store, self._table):
            if self._scope.row_floor <= hour < end:
                for fault in await self._hour(hour):
                    yield fault

    async def _hour(self, start: datetime) -> list[Finding]:
        prefix = layout.compacted_prefix(start, self._table.folders)
        try:
            hour = await list_hour(self._store, start, self._table)
            first = hour.compacted.get(hour.start)
            if first is None:
                files = [file for files in hour.chains.values() for file in files]
                missing = Finding("stale_copy", prefix, "the hour has no copy")
                return [missing] if self._old(files) else []
            hour.cuts = (await read_footer(self._store, first)).cuts
            faults = [
                Finding(
                    "duplicate_row",
                    layout.compacted_key(cut, self._table.folders),
                    "the hour's first file does not name this file",
                )
                for cut in hour.compacted.keys() - set(hour.cuts)
            ]
            for cut in hour.cuts:
                faults += await self._copy(start, hour.compacted.get(cut), hour.sources(cut))
        except (Mismatch, KeyMissing):
            return []  # a compactor is rewriting this hour
        except UnreadableObject as error:
            return [Finding("unreadable", str(error.value or prefix), error.detail)]
        return faults

    async def _copy(
        self, start: datetime, copy: Stored | None, sources: list[Stored]
    ) -> list[Finding]:
        if copy is None:
            prefix = layout.compacted_prefix(start, self._table.folders)
            missing = Finding("stale_copy", prefix, "a compacted file is missing")
            return [missing] if self._old(sources) else []
        named = dict((await read_footer(self._store, copy)).sources)
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
        if not self._full:
            return []
        wanted: Counter[str] = Counter()
        for source in sources:
            wanted += await self._ids(source)
        held = await self._ids(copy)
        odd = sorted((held - wanted) + (wanted - held))
        detail = f"{len(odd)} rows differ, the first is {odd[0]}" if odd else ""
        return [Finding("wrong_copy", copy.key, detail)] if odd else []

    async def _ids(self, file: Stored) -> Counter[str]:
        data, stored = await self._store.get(file.key)
        if stored.etag != file.etag:
            raise Mismatch(f"{file.key} has changed since it was listed")
        table = decode_chain_file(file.key, data, [self._table.id])
        return Counter(table[self._table.id].to_pylist())

    def _old(self, files: Sequence[Stored]) -> bool:
        """True if the copy of these segments should be up to date by now."""
        followed = 2 * self._scope.times.compaction_round
        return bool(files) and min(f.modified for f in files) + followed <= self._scope.now
