"""A new lake (`lake/beside.py`) takes over, while nobody seals.

  1. hold: sealers leave rows in the journal. Half an hour later no file of theirs can land
  2. the records are read once more: what is an image or a rejection now, and what is erased
  3. home by home, If-Match or create-only: files behind the first keep of their rows those that are
     right; the first gets all others, from the new lake. So no right row is doubled or away at any
     moment, and no file of a chain goes
  4. rows that are in neither lake are journaled from their records; the copies follow
  5. release: sealers go on; the new lake's files are deleted

A hold ends by itself after three hours; whoever continues within the first goes on at 2.
"""

import asyncio
import logging
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from lake import layout
from lake.beside import clear, rebuilt
from lake.closing import Closing
from lake.errors import AlreadyExists, KeyMissing, LakeError, Mismatch, UnreadableObject
from lake.journal import Journal
from lake.lake import Lake
from lake.rows import decode_chain_file, encode_chain_file, erased_ids, in_order
from lake.scope import Scope
from lake.settings import LakeSettings
from lake.stored import Stored
from lake.tables import TABLES, Table
from lake.truth import Expected, Name, Truth

log = logging.getLogger(__name__)

_TRIES = 5
# Records read and journaled at once.
_BATCH = 1024


@dataclass(slots=True)
class SwitchReport:
    """What was done: homes looked at, files written, rows that had to be journaled."""

    homes: int = 0
    files: int = 0
    journaled: int = 0


class NoNewLake(LakeError):
    """Nothing was made that could take over."""

    code = "no_new_lake"


class Switch:
    """Puts the new lake of a store in place of the one that is read."""

    def __init__(self, lake: Lake, settings: LakeSettings, *, processes: int | None = None) -> None:
        self._lake = lake
        self._settings = settings
        self._processes = processes

    async def hold(self) -> datetime:
        """Step 1; returns from when on step 2 may begin. Raises NoNewLake, StoreUnavailable."""
        await self._lake.clock.fresh()
        if not await self._lake.store.page(layout.REBUILT, 1):
            raise NoNewLake("there is no new lake: make one first")
        return max([await self._closing(table).hold() for table in TABLES])

    async def release(self) -> None:
        """Sealers go on."""
        for table in TABLES:
            await self._closing(table).release()

    async def run(self) -> SwitchReport:
        """Steps 2 to 5; raises LakeHeld before the hold has come of age, StoreUnavailable.

        Whatever it raises, it may be run again: what is done is not done twice.
        """
        await self._lake.clock.fresh()
        scope = Scope.of(self._settings, self._lake.clock.settings, self._lake.clock.now())
        report = SwitchReport()
        with tempfile.TemporaryDirectory(prefix="pixlake-switch-") as scratch:
            for table in TABLES:
                await self._closing(table).check_held()
                truth = Truth(self._lake.store, table, self._settings, self._processes)
                one = _TableSwitch(self._lake, truth, report)
                async for home, expected in truth.homes(scope, Path(scratch)):
                    await one.home(home, expected)
                await one.rest(scope)
        await self.release()
        await clear(self._lake.store)
        return report

    def _closing(self, table: Table) -> Closing:
        return self._lake.upkeep.of(table).compactor.closing


class _TableSwitch:
    """Switches one table, home by home."""

    def __init__(self, lake: Lake, truth: Truth, report: SwitchReport) -> None:
        self._store = lake.store
        self._compactor = lake.upkeep.of(truth.table).compactor
        self._journal = Journal(lake.store, truth.table)
        self._truth = truth
        self._table = truth.table
        self._report = report
        self._done: set[datetime] = set()

    async def rest(self, scope: Scope) -> None:
        """Homes whose files nobody's record speaks of; and files that are of no chain."""
        folders = self._table.folders
        async for stored in self._store.walk(folders.chains):
            parsed = layout.parse_chain_key(stored.key)
            if parsed is None or layout.chain_key(*parsed, folders) != stored.key:
                await self._store.delete(stored.key)
            elif scope.holds(parsed[0]) and parsed[0] not in self._done:
                await self.home(parsed[0], {})

    async def home(self, home: datetime, expected: Expected) -> None:
        """Steps 3 and 4 of one home."""
        for _ in range(_TRIES):
            try:
                missing = await self._fit(home, expected)
            except (AlreadyExists, Mismatch, KeyMissing):
                continue  # a sealer takes an erased row out
            break
        else:
            raise UnreadableObject(f"home {layout.home_name(home)} does not stay still")
        self._done.add(home)
        self._report.homes += 1
        for start in range(0, len(missing), _BATCH):
            found = (await self._truth.records(missing[start : start + _BATCH])).values()
            rows = [r for r in found if not isinstance(r, UnreadableObject | None)]
            await asyncio.gather(*map(self._journal.append, rows))
            self._report.journaled += len(rows)
        await self._compactor.follow(layout.hour_of(home))

    async def _fit(self, home: datetime, expected: Expected) -> list[Name]:
        """Step 3; returns names that have no row yet."""
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
                there = await asyncio.to_thread(decode_chain_file, key, old[0], of=self._table)
                noted = erased_ids(key, there)
                rows = there.replace_schema_metadata(None)
            except UnreadableObject:
                log.warning("%s does not parse: its rows are made anew", key)
        keep = await self._truth.right(rows, of.home, of.expected, of.taken)
        held = of.taken - before
        # As the new lake has them; what came after it was made, as they are.
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
        found = [layout.parse_chain_key(one.key) for one in await self._store.objects(chain)]
        return {parsed[1] for parsed in found if parsed and parsed[0] == home}

    async def _new(self, home: datetime, expected: Expected) -> pa.Table:
        """Rows of the new lake that are still right."""
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
        said = self._truth.rows(rows)
        right = [expected.get(name) == fact for name, fact, _ in said]
        return rows.filter(pa.array(right, pa.bool_()))


@dataclass(frozen=True, slots=True)
class _Home:
    """A home, while its files are fitted: `taken` have a row in one of them."""

    home: datetime
    expected: Expected
    taken: set[Name]
    first: bool

    @property
    def erased(self) -> frozenset[str]:
        """What its files must say of its tombstones."""
        return frozenset(row_id for (_, row_id), row in self.expected.items() if row is None)
