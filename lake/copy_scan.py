"""The audit looks at compacted copies: readers before the watermark see nothing else."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from lake import layout
from lake.compacted import list_hour, read_footer, sources_of
from lake.errors import KeyMissing, Mismatch, UnreadableObject
from lake.evidence import Fault
from lake.hours import hours_with_files
from lake.object_store import ObjectStore
from lake.retention import end_of_file
from lake.rows import decode_chain_file
from lake.scope import Scope
from lake.stored import Stored
from lake.tables import Table
from lake.watermark import read_watermark

# A sealer lets the copy follow in its pass, and a compactor looks at all of them each hour.
_FOLLOWED = timedelta(hours=2)


class CopyScan:
    """Compares the copies of one table with its chains."""

    def __init__(self, store: ObjectStore, table: Table, scope: Scope, *, full: bool) -> None:
        self._store = store
        self._table = table
        self._scope = scope
        self._full = full

    async def faults(self) -> AsyncIterator[Fault]:
        """What is wrong; raises StoreUnavailable where the store can't be listed.

        `full` compares row by row, else what copies say that they were made of.
        """
        async for stored in self._store.walk(self._table.folders.compacted):
            end = end_of_file(stored.key)
            if end is not None and self._scope.is_overdue(end):
                yield Fault("overdue", stored.key, f"hour until {end:%F %T}")
        watermark, _ = await read_watermark(self._store, self._table.folders)
        end = min(watermark.complete_before, self._scope.end - layout.HOUR + timedelta.resolution)
        for hour in await hours_with_files(self._store, self._table):
            if self._scope.row_floor <= hour < end:
                for fault in await self._hour(hour):
                    yield fault

    async def _hour(self, start: datetime) -> list[Fault]:
        prefix = layout.compacted_prefix(start, self._table.folders)
        try:
            hour = await list_hour(self._store, start, self._table)
            first = hour.compacted.get(hour.start)
            if first is None:
                files = [file for files in hour.chains.values() for file in files]
                return [Fault("stale_copy", prefix, "there is none")] if self._old(files) else []
            hour.cuts = (await read_footer(self._store, first)).cuts
            faults = [
                Fault(
                    "duplicate_row",
                    layout.compacted_key(cut, self._table.folders),
                    "no file of its hour",
                )
                for cut in hour.compacted.keys() - set(hour.cuts)
            ]
            for cut in hour.cuts:
                faults += await self._copy(start, hour.compacted.get(cut), hour.sources(cut))
        except (Mismatch, KeyMissing):
            return []  # written anew this moment
        except UnreadableObject as error:
            return [Fault("unreadable", str(error.value or prefix), error.message)]
        return faults

    async def _copy(
        self, start: datetime, copy: Stored | None, sources: list[Stored]
    ) -> list[Fault]:
        if copy is None:
            prefix = layout.compacted_prefix(start, self._table.folders)
            return [Fault("stale_copy", prefix, "a file is missing")] if self._old(sources) else []
        said = dict((await read_footer(self._store, copy)).sources)
        lost = sorted(said.keys() - dict(sources_of(sources)))
        if lost:
            # The copy was listed before the chains, which never go before they expire.
            chain = layout.hour_prefix(start, self._table.folders)
            return [Fault("missing_file", f"{chain}/{name}", f"{copy.key} has it") for name in lost]
        changed = [file for file in sources if sources_of([file])[0] not in said.items()]
        if changed or len(said) != len(sources):
            if not self._old(changed):
                return []
            return [Fault("stale_copy", copy.key, f"not of {changed[0].key}")]
        if not self._full:
            return []
        wanted: Counter[str] = Counter()
        for source in sources:
            wanted += await self._ids(source)
        held = await self._ids(copy)
        odd = sorted((held - wanted) + (wanted - held))
        return [Fault("wrong_copy", copy.key, f"{len(odd)} rows, {odd[0]} first")] if odd else []

    async def _ids(self, file: Stored) -> Counter[str]:
        data, stored = await self._store.get(file.key)
        if stored.etag != file.etag:
            raise Mismatch(f"{file.key} is not what was listed")
        table = decode_chain_file(file.key, data, [self._table.id])
        return Counter(table[self._table.id].to_pylist())

    def _old(self, files: Sequence[Stored]) -> bool:
        """Whether a copy should have followed these by now."""
        return bool(files) and min(f.modified for f in files) + _FOLLOWED <= self._scope.now
