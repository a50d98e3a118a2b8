"""A whole new lake, made of the records alone, beside the one that is there.

  lake/rebuilt/<table>/dt=…/hour=…/<home>-<n>.parquet    as `lake/<table>/…` would be

Each file is read again after it was written, and compared with the records. Nobody reads or seals
here; `lake/switch.py` puts these files in the place of the others. Being below `lake/`, what is
left lying goes with the retention.
"""

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from lake import layout
from lake.errors import UnreadableObject
from lake.lake import Lake
from lake.layout import Folders
from lake.object_store import ObjectStore
from lake.rows import decode_chain_file, encode_chain_file, in_order
from lake.scope import Scope
from lake.settings import LakeSettings
from lake.tables import TABLES, Journaled, Table
from lake.truth import Expected, Fact, Name, Truth

# Rows of a file, and records in memory at once.
_ROWS = 40_000


@dataclass(slots=True)
class BesideReport:
    """What was written: homes, files, rows. `gone`: erased or expired while it was made."""

    homes: int = 0
    files: int = 0
    rows: int = 0
    gone: int = 0


def rebuilt(table: Table) -> Folders:
    """Where the new lake of a table is."""
    return Folders(table.folders.journal, f"{layout.REBUILT}/{table.name}", "")


async def build(
    lake: Lake, settings: LakeSettings, *, processes: int | None = None
) -> BesideReport:
    """Make it, in place of an earlier one; raises UnreadableObject where a record does not parse.

    Also StoreUnavailable, StoreFull.
    """
    await lake.clock.fresh()
    scope = Scope.of(settings, lake.clock.settings, lake.clock.now())
    report = BesideReport()
    await clear(lake.store)
    with tempfile.TemporaryDirectory(prefix="pixlake-rebuild-") as scratch:
        for table in TABLES:
            builder = _Builder(Truth(lake.store, table, settings, processes), report)
            async for home, expected in builder.truth.homes(scope, Path(scratch)):
                await builder.build(home, expected)
    return report


async def clear(store: ObjectStore) -> None:
    """Delete what is there of a new lake."""
    async for stored in store.walk(layout.REBUILT):
        await store.delete(stored.key)


class _Builder:
    """Builds one table."""

    def __init__(self, truth: Truth, report: BesideReport) -> None:
        self.truth = truth
        self._store = truth.store
        self._report = report

    async def build(self, home: datetime, expected: Expected) -> None:
        """The files of one home; of one without rows, a file that names the erased."""
        wanted = [name for name, fact in expected.items() if fact is not None]
        erased = {row_id for (_, row_id), fact in expected.items() if fact is None}
        for number, start in enumerate(range(0, max(len(wanted), 1), _ROWS)):
            names = wanted[start : start + _ROWS]
            records = await self._records(home, names)
            key = layout.chain_key(home, number, rebuilt(self.truth.table))
            body = await asyncio.to_thread(self._encoded, list(records.values()), erased)
            await self._store.create(key, body)
            await self._verify(key, {name: self.truth.fact(r) for name, r in records.items()})
            self._report.files += 1
            self._report.rows += len(records)
            self._report.gone += len(names) - len(records)
        self._report.homes += 1

    async def _records(self, home: datetime, names: list[Name]) -> dict[Name, Journaled]:
        records = {}
        for name, record in (await self.truth.records(names)).items():
            if isinstance(record, UnreadableObject):
                raise record
            if record is not None and record.home == home:
                records[name] = record
        return records

    def _encoded(self, records: list[Journaled], erased: set[str]) -> bytes:
        table = self.truth.table
        rows = table.rows(records) if records else table.columns.empty_table()
        order = in_order(rows, np.ones(len(rows), np.bool_), table)
        return encode_chain_file(rows, erased, order, table)

    async def _verify(self, key: str, expected: dict[Name, Fact]) -> None:
        """What can be read of the file is these records' rows, each once."""
        data, _ = await self._store.get(key)
        rows: pa.Table = await asyncio.to_thread(decode_chain_file, key, data, of=self.truth.table)
        found = [(name, fact) for name, fact, _ in self.truth.rows(rows)]
        if len(found) != len(expected) or dict(found) != expected:
            raise UnreadableObject(f"{key} does not hold the rows that were written", value=key)
