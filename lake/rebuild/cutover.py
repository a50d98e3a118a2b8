"""Cutover: the shadow lake of `lake/rebuild/shadow_lake.py` replaces the lake; sealing waits.

  1. hold: sealers leave rows in the journal. Half an hour later no PUT of a sealer can take effect
  2. read the records once more: current images and rejections, and erased images
  3. rewrite the chains, home by home, If-Match or create-only, last file first. Files after the
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
from lake.errors import LakeError, UnreadableObject
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
    """Number of homes processed, files written, and rows journaled."""

    homes: int = 0
    files: int = 0
    journaled: int = 0


class NoNewLake(LakeError):
    """There is no shadow lake, so a cutover is not possible."""

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
            raise NoNewLake("there is no new lake; build it first: pixlake rebuild --beside")
        return max([await self._closing(table).hold() for table in TABLES])

    async def release(self) -> None:
        """End the hold, so that sealers continue."""
        for table in TABLES:
            await self._closing(table).release()

    async def run(self) -> CutoverReport:
        """Run steps 2 to 5; raises LakeHeld if the hold is too young, StoreUnavailable.

        After any error it may be run again: finished steps are not repeated.
        """
        await self._lake.clock.fresh()
        scope = Scope.of(self._settings, self._lake.clock)
        report = CutoverReport()
        with tempfile.TemporaryDirectory(prefix="pixlake-switch-") as scratch:
            for table in TABLES:
                await self._closing(table).check_held()
                truth = ExpectedRows(self._lake.store, table, self._settings, self._processes)
                switch = _TableSwitch(self._lake, truth, report)
                async for home, expected in truth.homes(scope, Path(scratch)):
                    await switch.home(home, expected)
                await switch.rest(scope)
        await self.release()
        await clear(self._lake.store)
        return report

    def _closing(self, table: Table) -> WatermarkAdvance:
        return self._lake.upkeep.of(table).compactor.closing


class _TableSwitch:
    """Switches one table, home by home."""

    def __init__(self, lake: Lake, truth: ExpectedRows, report: CutoverReport) -> None:
        self._store = lake.store
        self._compactor = lake.upkeep.of(truth.table).compactor
        self._journal = Journal(lake.store, truth.table)
        self._truth = truth
        self._table = truth.table
        self._report = report
        self._done: set[datetime] = set()

    async def rest(self, scope: Scope) -> None:
        """Process homes that have files but no record, and delete files that are in no chain."""
        folders = self._table.folders
        async for stored in self._store.walk(folders.chains):
            parsed = layout.parse_chain_key(stored.key)
            if parsed is None or layout.chain_key(*parsed, folders) != stored.key:
                await self._store.delete(stored.key)
            elif scope.holds(parsed[0]) and parsed[0] not in self._done:
                await self.home(parsed[0], {})

    async def home(self, home: datetime, expected: Expected) -> None:
        """Run steps 3 and 4 for one home."""
        # A sealer may remove an erased row from a file meanwhile.
        missing = await compare_and_swap(
            lambda: self._fit(home, expected),
            f"home {layout.home_name(home)}",
            tries=_TRIES,
            error=UnreadableObject,
        )
        self._done.add(home)
        self._report.homes += 1
        for start in range(0, len(missing), _BATCH):
            records = (await self._truth.records(missing[start : start + _BATCH])).values()
            rows = [r for r in records if not isinstance(r, UnreadableObject | None)]
            await asyncio.gather(*map(self._journal.append, rows))
            self._report.journaled += len(rows)
        await self._compactor.follow(layout.hour_of(home))

    async def _fit(self, home: datetime, expected: Expected) -> list[Name]:
        """Rewrite the files of a home (step 3); returns names that have no row yet."""
        chain = layout.hour_prefix(home, self._table.folders)
        numbers = await self._numbers(chain, home)
        new = await self._new(home, expected)
        taken: set[Name] = set()
        if not numbers and not expected:
            return []
        for number in range(max(numbers, default=0), -1, -1):
            key = layout.chain_key(home, number, self._table.folders)
            old = await self._store.get(key) if number in numbers else None
            await self._file(key, old, new, _Home(home, expected, taken, first=number == 0))
        return [name for name, fact in expected.items() if fact and name not in taken]

    async def _file(
        self, key: str, old: tuple[bytes, Stored] | None, new: pa.Table, of: "_Home"
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
        keep = await self._truth.right(rows, of.window_start, of.expected, of.taken)
        held = of.taken - before
        # Take rows from the shadow lake; keep current rows that are newer than the shadow lake.
        names = [name for name, _, _ in self._truth.rows(new)]
        fresh = [name in held or (of.first and name not in of.taken) for name in names]
        renewed = set(names)
        kept = [
            stays and name not in renewed
            for stays, (name, _, _) in zip(keep, self._truth.rows(rows), strict=True)
        ]
        of.taken.update(name for name, chosen in zip(names, fresh, strict=True) if chosen)
        right = pa.concat_tables(
            [new.filter(pa.array(fresh, pa.bool_())), rows.filter(pa.array(kept, pa.bool_()))]
        )
        await self._write(key, old, right, noted | of.erased)

    async def _write(
        self, key: str, old: tuple[bytes, Stored] | None, rows: pa.Table, erased: frozenset[str]
    ) -> None:
        order = in_order(rows, np.ones(len(rows), np.bool_), self._table)
        body = await asyncio.to_thread(encode_chain_file, rows, erased, order, self._table)
        if old is not None and old[0] == body:
            return
        await self._compactor.closing.check_held()
        if old is None:
            await self._store.create(key, body)
        else:
            await self._store.replace(key, body, old[1].etag)
        self._report.files += 1

    async def _numbers(self, chain: str, home: datetime) -> set[int]:
        names = [layout.parse_chain_key(stored.key) for stored in await self._store.objects(chain)]
        return {parsed[1] for parsed in names if parsed and parsed[0] == home}

    async def _new(self, home: datetime, expected: Expected) -> pa.Table:
        """Read the rows of a home in the shadow lake that still match their records."""
        prefix = layout.hour_prefix(home, rebuilt(self._table))
        parts = [self._table.columns.empty_table()]
        for stored in await self._store.objects(prefix):
            parsed = layout.parse_chain_key(stored.key)
            if parsed and parsed[0] == home:
                data, _ = await self._store.get(stored.key)
                parts.append(
                    await asyncio.to_thread(decode_chain_file, stored.key, data, of=self._table)
                )
        rows = pa.concat_tables([part.replace_schema_metadata(None) for part in parts])
        facts = self._truth.rows(rows)
        right = [expected.get(name) == fact for name, fact, _ in facts]
        return rows.filter(pa.array(right, pa.bool_()))


@dataclass(frozen=True, slots=True)
class _Home:
    """State of a home during step 3; names in `taken` have a row in a rewritten file already."""

    window_start: datetime
    expected: Expected
    taken: set[Name]
    first: bool

    @property
    def erased(self) -> frozenset[str]:
        """Ids of erased images that the footers of this home's files must name."""
        return frozenset(row_id for (_, row_id), row in self.expected.items() if row is None)
