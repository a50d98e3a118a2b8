"""Cutover: the shadow lake of `lake/rebuild/shadow_lake.py` replaces the lake; sealing waits.

  1. hold: sealers leave rows in the journal. Half an hour later no PUT of a sealer can take effect
  2. read the records once more: current images and rejections, and erased images
  3. rewrite the chains, window by window, If-Match or create-only, last file first. Files after the
     first one keep their correct rows; the first file gets all other rows, from the shadow lake.
     So no correct row is duplicated or missing at any time, and no file of a chain is deleted
  4. journal rows that are in neither lake, from their records; update the compacted copies
  5. release: sealers continue; delete the shadow lake

A hold ends by itself after three hours. A cutover that was interrupted can continue from step 2
within the first hour.
"""

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from lake import layout
from lake.audit.scope import Scope
from lake.commit.journal import Journal
from lake.errors import LakeError, Mismatch, UnreadableObject
from lake.lake import Lake
from lake.logs import logger
from lake.rebuild.expected_rows import Expected, ExpectedRows, Name
from lake.rebuild.shadow_lake import clear, rebuilt
from lake.seal.watermark_advance import WatermarkAdvance
from lake.settings import LakeSettings
from lake.store.decision import compare_and_swap
from lake.store.object_meta import Stored
from lake.tables.rows import decode_chain_file, encode_chain_file, erased_ids, in_order
from lake.tables.tables import TABLES, Table

log = logger(__name__)

_TRIES = 5
# Records read and journaled at once.
_BATCH = 1024


@dataclass(slots=True)
class CutoverReport:
    """Number of windows processed and files written."""

    windows: int = 0
    files: int = 0


class NoNewLake(LakeError):
    """The store has no shadow lake, so a cutover is not possible."""

    code = "no_new_lake"


class Cutover:
    """Replaces the current lake of a store by its shadow lake."""

    def __init__(self, lake: Lake, settings: LakeSettings, *, processes: int | None = None) -> None:
        self._lake = lake
        self._settings = settings
        self._processes = processes

    async def hold(self) -> datetime:
        """Hold sealing (step 1); returns the time from which step 2 may begin.

        Raises NoNewLake, StoreUnavailable.
        """
        await self._lake.clock.fresh()
        if not await self._lake.store.page(layout.REBUILT, 1):
            raise NoNewLake("there is no new lake; build it first: pixlake rebuild --shadow")
        return max([await self._advance(table).hold() for table in TABLES])

    async def release(self) -> None:
        """End the hold, so that sealers continue."""
        for table in TABLES:
            await self._advance(table).release()

    async def run(self) -> CutoverReport:
        """Run steps 2 to 5; raises LakeHeld if the hold is too young, StoreUnavailable.

        After any error it may be run again: finished steps are not repeated.
        """
        await self._lake.clock.fresh()
        scope = Scope.of(self._settings, self._lake.clock)
        report = CutoverReport()
        with tempfile.TemporaryDirectory(prefix="pixlake-cutover-") as scratch:
            for table in TABLES:
                await self._advance(table).check_held()
                expected_rows = ExpectedRows(
                    self._lake.store, table, self._settings, self._processes
                )
                cutover = _TableCutover(self._lake, expected_rows, report)
                async for window_start, expected in expected_rows.windows(scope, Path(scratch)):
                    await cutover.window(window_start, expected)
                await cutover.rest(scope)
        await self.release()
        await clear(self._lake.store)
        return report

    def _advance(self, table: Table) -> WatermarkAdvance:
        return self._lake.maintenance.of(table).compactor.watermark_advance


class _TableCutover:
    """Replaces the files of one table, window by window."""

    def __init__(self, lake: Lake, expected_rows: ExpectedRows, report: CutoverReport) -> None:
        self._store = lake.store
        self._compactor = lake.maintenance.of(expected_rows.table).compactor
        self._journal = Journal(lake.store, expected_rows.table)
        self._expected_rows = expected_rows
        self._table = expected_rows.table
        self._report = report
        self._done: set[datetime] = set()

    async def rest(self, scope: Scope) -> None:
        """Process windows that have files but no record, and delete files that are in no chain."""
        folders = self._table.folders
        async for stored in self._store.walk(folders.chains):
            parsed = layout.parse_chain_key(stored.key)
            if parsed is None or layout.chain_key(*parsed, folders) != stored.key:
                await self._store.delete(stored.key)
            elif scope.holds(parsed[0]) and parsed[0] not in self._done:
                await self.window(parsed[0], {})

    async def window(self, window_start: datetime, expected: Expected) -> None:
        """Run steps 3 and 4 for one window."""
        # A sealer may remove an erased row from a file meanwhile.
        missing = await compare_and_swap(
            lambda: self._fit(window_start, expected),
            f"window {layout.window_name(window_start)}",
            tries=_TRIES,
            error=UnreadableObject,
        )
        self._done.add(window_start)
        self._report.windows += 1
        for start in range(0, len(missing), _BATCH):
            records = (await self._expected_rows.records(missing[start : start + _BATCH])).values()
            rows = [r for r in records if not isinstance(r, UnreadableObject | None)]
            await asyncio.gather(*map(self._journal.append, rows))
        await self._compactor.follow(window_start)

    async def _fit(self, window_start: datetime, expected: Expected) -> list[Name]:
        """Rewrite the files of a window (step 3); returns names that have no row yet."""
        # Listed before the shadow lake is read. A sealer removes an erased row from the shadow lake
        # first. So either the rows of the shadow lake lack it, or the listed files change later.
        listed = await self._listed(window_start)
        new = await self._new(window_start, expected)
        taken: set[Name] = set()
        if not listed and not expected:
            return []
        for number in range(max(listed, default=0), -1, -1):
            key = layout.chain_key(window_start, number, self._table.folders)
            old = await self._read(listed[number]) if number in listed else None
            await self._file(
                key, old, new, _Window(window_start, expected, taken, first=number == 0)
            )
        return [name for name, fact in expected.items() if fact and name not in taken]

    async def _file(
        self, key: str, old: tuple[bytes, Stored] | None, new: pa.Table, of: "_Window"
    ) -> None:
        before = set(of.taken)
        rows, noted = self._table.columns.empty_table(), frozenset[str]()
        if old is not None:
            try:
                current = await asyncio.to_thread(decode_chain_file, key, old[0], of=self._table)
                noted = erased_ids(key, current)
                rows = current.replace_schema_metadata(None)
            except UnreadableObject:
                log.warning("file does not parse; its rows are rebuilt from the records", key=key)
        keep = await self._expected_rows.right(rows, of.window_start, of.expected, of.taken)
        held = of.taken - before
        # Take rows from the shadow lake; keep current rows that are newer than the shadow lake.
        names = [name for name, _, _ in self._expected_rows.rows(new)]
        fresh = [name in held or (of.first and name not in of.taken) for name in names]
        renewed = set(names)
        kept = [
            stays and name not in renewed
            for stays, (name, _, _) in zip(keep, self._expected_rows.rows(rows), strict=True)
        ]
        of.taken.update(name for name, chosen in zip(names, fresh, strict=True) if chosen)
        right = pa.concat_tables(
            [new.filter(pa.array(fresh, pa.bool_())), rows.filter(pa.array(kept, pa.bool_()))]
        )
        await self._write(key, old, right, noted | self._lost(rows, of))

    def _lost(self, rows: pa.Table, of: "_Window") -> frozenset[str]:
        """Erased images that the file names which had these rows.

        No file may name an erased image while another has its row. The first file, which names all,
        is written last.
        """
        if of.first:
            return of.erased
        return of.erased.intersection(rows[self._table.id].to_pylist())

    async def _write(
        self, key: str, old: tuple[bytes, Stored] | None, rows: pa.Table, erased: frozenset[str]
    ) -> None:
        order = in_order(rows, np.ones(len(rows), np.bool_), self._table)
        body = await asyncio.to_thread(encode_chain_file, rows, erased, order, self._table)
        if old is not None and old[0] == body:
            return
        await self._compactor.watermark_advance.check_held()
        if old is None:
            await self._store.create(key, body)
        else:
            await self._store.replace(key, body, old[1].etag)
        self._report.files += 1

    async def _listed(self, window_start: datetime) -> dict[int, Stored]:
        """Files of a window by their numbers."""
        chain = layout.hour_prefix(window_start, self._table.folders)
        files = [(layout.parse_chain_key(s.key), s) for s in await self._store.objects(chain)]
        return {parsed[1]: s for parsed, s in files if parsed and parsed[0] == window_start}

    async def _read(self, listed: Stored) -> tuple[bytes, Stored]:
        """Read a file as it was listed; raises Mismatch, KeyMissing."""
        data, stored = await self._store.get(listed.key)
        if stored.etag != listed.etag:
            raise Mismatch(f"{listed.key} has changed since it was listed")
        return data, stored

    async def _new(self, window_start: datetime, expected: Expected) -> pa.Table:
        """Read the rows of a window in the shadow lake that still match their records."""
        prefix = layout.hour_prefix(window_start, rebuilt(self._table))
        parts = [self._table.columns.empty_table()]
        for stored in await self._store.objects(prefix):
            parsed = layout.parse_chain_key(stored.key)
            if parsed and parsed[0] == window_start:
                data, _ = await self._store.get(stored.key)
                parts.append(
                    await asyncio.to_thread(decode_chain_file, stored.key, data, of=self._table)
                )
        rows = pa.concat_tables([part.replace_schema_metadata(None) for part in parts])
        facts = self._expected_rows.rows(rows)
        right = [expected.get(name) == fact for name, fact, _ in facts]
        return rows.filter(pa.array(right, pa.bool_()))


@dataclass(frozen=True, slots=True)
class _Window:
    """State of a window during step 3; names in `taken` have a row in a rewritten file already."""

    window_start: datetime
    expected: Expected
    taken: set[Name]
    first: bool

    @property
    def erased(self) -> frozenset[str]:
        """Ids of erased images that the footers of this window's files must name."""
        return frozenset(row_id for (_, row_id), row in self.expected.items() if row is None)
