"""Shadow lake: a complete new lake, built from the records alone, next to the current one.

  lake/rebuilt/<table>/dt=…/hour=…/<window>-<n>.parquet    with the names of `lake/<table>/…`

Each file is read again after it was written, and compared with the records. Readers and sealers do
not use the shadow lake; `lake/rebuild/cutover.py` replaces the current files by those of the shadow
lake. The sweeper deletes a forgotten shadow lake after the retention, because its files are in
`lake/`.
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
from lake.errors import StoreUnavailable, UnreadableObject
from lake.lake import Lake
from lake.layout import Folders
from lake.rebuild.expected_rows import Expected, ExpectedRows, Fact, Name
from lake.settings import LakeSettings
from lake.store.clock import StoreClock
from lake.store.object_store import ObjectStore
from lake.tables.rows import decode_chain_file, encode_chain_file, in_order
from lake.tables.tables import TABLES, Journaled, Table

# Largest number of rows in a file, and of records in memory.
_ROWS = 40_000
_TRIES = 5


@dataclass(slots=True)
class ShadowReport:
    """Number of windows, files and rows written; `gone` images were erased or expired meanwhile."""

    windows: int = 0
    files: int = 0
    rows: int = 0
    gone: int = 0


def rebuilt(table: Table) -> Folders:
    """Folders of a table in the shadow lake."""
    return layout.rebuilt_rows(table.name)


async def build(
    lake: Lake, settings: LakeSettings, *, processes: int | None = None
) -> ShadowReport:
    """Build the shadow lake; deletes an earlier one.

    Raises UnreadableObject if a record does not parse, StoreUnavailable, StoreFull.
    """
    await lake.clock.fresh()
    scope = Scope.of(settings, lake.clock)
    report = ShadowReport()
    await clear(lake.store)
    with tempfile.TemporaryDirectory(prefix="pixlake-rebuild-") as scratch:
        for table in TABLES:
            expected_rows = ExpectedRows(lake.store, table, settings, processes)
            builder = _Builder(expected_rows, lake.clock, report)
            async for window_start, expected in expected_rows.windows(scope, Path(scratch)):
                await builder.build(window_start, expected)
    return report


async def clear(store: ObjectStore) -> None:
    """Delete the shadow lake."""
    async for stored in store.walk(layout.REBUILT):
        await store.delete(stored.key)


class _Builder:
    """Builds one table of the shadow lake."""

    def __init__(
        self, expected_rows: ExpectedRows, clock: StoreClock, report: ShadowReport
    ) -> None:
        self.expected_rows = expected_rows
        self._clock = clock
        self._store = expected_rows.store
        self._report = report

    async def build(self, window_start: datetime, expected: Expected) -> None:
        """Write the files of one window; without rows, write one file that names the erased ids."""
        wanted = [name for name, fact in expected.items() if fact is not None]
        erased = {row_id for (_, row_id), fact in expected.items() if fact is None}
        for number, start in enumerate(range(0, max(len(wanted), 1), _ROWS)):
            names = wanted[start : start + _ROWS]
            key = layout.chain_key(window_start, number, rebuilt(self.expected_rows.table))
            records, body = await self._file(key, window_start, names, erased)
            await self._store.create(key, body)
            await self._verify(
                key, {name: self.expected_rows.fact(r) for name, r in records.items()}
            )
            self._report.files += 1
            self._report.rows += len(records)
            self._report.gone += len(names) - len(records)
        self._report.windows += 1

    async def _file(
        self, key: str, window_start: datetime, names: list[Name], erased: set[str]
    ) -> tuple[dict[Name, Journaled], bytes]:
        """Read records and encode their rows, again if the machine slept meanwhile.

        Sealers repeat an erasure for an hour. A file that is written later would keep the row of an
        image that was erased after its record was read. Raises StoreUnavailable after five tries.
        """
        for _ in range(_TRIES):
            began = self._clock.machine.moment()
            records = await self._records(window_start, names)
            body = await asyncio.to_thread(self._encoded, list(records.values()), erased)
            if began.age < self._clock.times.permit:
                return records, body
        raise StoreUnavailable(
            f"the records of {key} could not be read within {self._clock.times.permit}"
        )

    async def _records(self, window_start: datetime, names: list[Name]) -> dict[Name, Journaled]:
        records = {}
        for name, record in (await self.expected_rows.records(names)).items():
            if isinstance(record, UnreadableObject):
                raise record
            if record is not None and record.window_start == window_start:
                records[name] = record
        return records

    def _encoded(self, records: list[Journaled], erased: set[str]) -> bytes:
        table = self.expected_rows.table
        rows = table.rows(records) if records else table.columns.empty_table()
        order = in_order(rows, np.ones(len(rows), np.bool_), table)
        return encode_chain_file(rows, erased, order, table)

    async def _verify(self, key: str, expected: dict[Name, Fact]) -> None:
        """Read a written file; raises UnreadableObject unless it has each expected row once."""
        data, _ = await self._store.get(key)
        rows: pa.Table = await asyncio.to_thread(
            decode_chain_file, key, data, of=self.expected_rows.table
        )
        facts = [(name, fact) for name, fact, _ in self.expected_rows.rows(rows)]
        if len(facts) != len(expected) or dict(facts) != expected:
            raise UnreadableObject(f"{key} does not hold the rows that were written", value=key)
