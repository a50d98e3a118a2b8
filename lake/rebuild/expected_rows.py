"""Expected rows of a table, read from its records."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from lake import layout
from lake.audit.checks import AuditQueries
from lake.audit.record_reading import Reading, read_records
from lake.audit.rejection_scan import RejectionScan
from lake.audit.scope import Scope
from lake.audit.snapshot import SnapshotWriter
from lake.commit.records import parse_record
from lake.commit.rejections import parse_rejected
from lake.errors import UnreadableObject
from lake.settings import LakeSettings
from lake.store.object_store import ObjectStore
from lake.tables.schema import ImageRecord
from lake.tables.tables import IMAGE_TABLE, REJECTION_TABLE, Journaled, Table

Name = tuple[str, str]
"""tenant and id"""
Fact = tuple[str, str | None]
"""attempt and content hash; empty for a rejection, which has only one attempt"""
Expected = dict[Name, Fact | None]
"""each record of a window: its facts, None for a tombstone"""
Found = Journaled | UnreadableObject | None
"""current state of a record; None if it has no row (erased, refused)"""

_MOST_SKIPPED = 1000
_NO_FACT: Fact = "", None


@dataclass(frozen=True, slots=True)
class ExpectedRows:
    """Records of one table, as the source of its rows."""

    store: ObjectStore
    table: Table
    settings: LakeSettings
    processes: int | None = None
    skipped: list[str] = field(default_factory=list)
    """keys of unreadable records, at most 1,000; filled by `windows`"""

    async def windows(
        self, scope: Scope, scratch: Path
    ) -> AsyncIterator[tuple[datetime, Expected]]:
        """Yield every window with its records, in order of time; `scratch` is an empty folder.

        Raises StoreUnavailable if the store can't be listed.
        """
        folder = scratch / self.table.name
        folder.mkdir()
        with SnapshotWriter(folder) as snapshot:
            if self.table is IMAGE_TABLE:
                reading = Reading(self.settings, scope, folder)
                await read_records(self.store, snapshot, reading, self.processes)
            else:
                await RejectionScan(self.store, scope, folder).scan_records(snapshot)
        queries = AuditQueries(folder)
        try:
            for code, _, first in queries.faults(_MOST_SKIPPED):
                if code == "unreadable":
                    self.skipped.extend(key for key, _ in first)
            for window_start, rows in queries.records_by_window(scope):
                yield window_start, {(t, i): None if dead else (a, c) for t, i, a, c, dead in rows}
        finally:
            queries.close()

    async def records(self, names: Sequence[Name]) -> dict[Name, Found]:
        """Read records again; missing ones are left out."""
        records: dict[Name, Found] = {}
        keys = [self._key(*name) for name in names]
        for name, key, data in zip(names, keys, await self.store.read_many(keys), strict=True):
            if data is not None:
                record = self._parsed(key, data)
                if isinstance(record, UnreadableObject) or self.name(record) == name:
                    records[name] = record
        return records

    def name(self, record: Journaled | None) -> Name | None:
        """Tenant and id of a record; None for None."""
        if isinstance(record, ImageRecord):
            return record.tenant, record.image_id
        return None if record is None else (record.tenant, record.rejection_id)

    def key(self, record: Journaled) -> str:
        """Key of a record's object in the store."""
        row_id = record.image_id if isinstance(record, ImageRecord) else record.rejection_id
        return self._key(record.tenant, row_id)

    def fact(self, record: Journaled) -> Fact:
        """Attempt and content hash that a row must share with its record."""
        if isinstance(record, ImageRecord):
            return record.attempt, record.content_hash
        return _NO_FACT

    def rows(self, table: pa.Table) -> list[tuple[Name, Fact, datetime]]:
        """Name, facts and start of the window of each row."""
        names = _pairs(table, "tenant", self.table.id)
        facts: Iterable[Fact] = [_NO_FACT] * len(table)
        if self.table is not REJECTION_TABLE:
            facts = _pairs(table, "attempt", "content_hash")
        return list(zip(names, facts, table["window_start"].to_pylist(), strict=True))

    async def right(
        self,
        rows: pa.Table,
        window_start: datetime,
        expected: Expected,
        taken: set[Name],
        *,
        everything: bool = False,
    ) -> list[bool]:
        """Select the rows of a window's file that stay: those that match their record, each once.

        `taken` are names that have a row already; kept rows are added to it. Records that were
        committed meanwhile are added to `expected`. `everything` keeps only rows whose record can't
        be read.
        """
        stored = self.rows(rows)
        odd = [name for name, fact, _ in stored if expected.get(name) != fact]
        unreadable = set()
        for name, record in (await self.records(odd)).items():
            if isinstance(record, UnreadableObject):
                # An audit reports the record. Keep the row, which is the only readable copy.
                unreadable.add(name)
            elif record is not None and record.window_start == window_start:
                expected[name] = self.fact(record)
        keep = []
        for name, fact, row_window in stored:
            right = expected.get(name) == fact and not everything
            stays = (
                (right or name in unreadable) and row_window == window_start and name not in taken
            )
            keep.append(stays)
            if stays:
                taken.add(name)
        return keep

    def _key(self, tenant: str, row_id: str) -> str:
        if self.table is REJECTION_TABLE:
            return layout.rejection_key(row_id)
        return layout.record_key(tenant, row_id)

    def _parsed(self, key: str, data: bytes) -> Found:
        try:
            if self.table is REJECTION_TABLE:
                return parse_rejected(key, data)
            record = parse_record(key, data)
        except UnreadableObject as error:
            return error
        return record if isinstance(record, ImageRecord) else None


def _pairs(table: pa.Table, first: str, second: str) -> Iterable[tuple[str, str]]:
    return zip(table[first].to_pylist(), table[second].to_pylist(), strict=True)
