"""Audit of rejections: each record must have one row, and each row a record."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from lake import layout
from lake.audit.checks import AuditQueries, Suspect
from lake.audit.final_checks import REFUSALS, WAITING
from lake.audit.object_reading import Content, read_each
from lake.audit.recheck import grouped
from lake.audit.row_hash import hashed_records
from lake.audit.row_scan import RowScan
from lake.audit.scope import Scope
from lake.audit.snapshot import Finding, SnapshotWriter
from lake.commit.journal import Journal
from lake.commit.rejections import parse_rejected
from lake.errors import UnreadableObject
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.tables import REJECTION_TABLE, Rejected

_NOW = "journaled now"
# Records read at once.
_BATCH = 1024


class RejectionScan:
    """Compares records and rows, and journals a record that has no row.

    `folder` holds the snapshot, on disk because the snapshot grows with the lake. Its tables are
    those of images, with the rejection id in place of the image id.
    """

    def __init__(self, store: ObjectStore, scope: Scope, folder: Path) -> None:
        self._store = store
        self._scope = scope
        self._folder = folder
        self._journal = Journal(store, REJECTION_TABLE)
        self.hours: Counter[datetime] = Counter()
        """number of rows in the segments of each hour"""

    async def faults(self, limit: int) -> AsyncIterator[tuple[int, list[Finding]]]:
        """Yield the number of faults of each kind, and the first `limit` of them.

        The folder may hold the table `refusals` of the images already. Raises StoreUnavailable,
        StoreFull.
        """
        with SnapshotWriter(self._folder) as snapshot:
            rows = RowScan(self._store, self._scope, snapshot, REJECTION_TABLE)
            await rows.scan_journal()
            await rows.scan_chains()
            self.hours = rows.hours
            await self.scan_records(snapshot)
        queries = await asyncio.to_thread(AuditQueries, self._folder)
        try:
            for code, count, first in queries.faults(limit):
                yield count, [Finding(code, *example) for example in first]
            for sql in (REFUSALS, WAITING):
                for finding in queries.findings(sql, self._scope):
                    yield 1, [finding]
            for suspects in grouped(queries.suspects(self._scope)):
                if judged := await self._judged(suspects):
                    yield len(judged), judged
        finally:
            queries.close()

    async def scan_records(self, snapshot: SnapshotWriter) -> None:
        """Add every record to the snapshot; raises StoreUnavailable."""
        async for page in self._store.pages(layout.REJECTION_RECORDS):
            for stored in page:
                if self._scope.is_overdue(stored.modified):
                    snapshot.fault("overdue", stored.key, f"since {stored.modified:%F %T}")
            for start in range(0, len(page), _BATCH):
                await self._records(snapshot, page[start : start + _BATCH])

    async def _records(self, snapshot: SnapshotWriter, page: Sequence[Stored]) -> None:
        keys = [stored.key for stored in page]
        contents = zip(keys, await read_each(self._store, keys), strict=True)
        records = [
            record
            for key, content in contents
            if (record := self._parsed(snapshot, key, content)) is not None
        ]
        for row, number in zip(records, hashed_records(records, REJECTION_TABLE), strict=True):
            values = (row.tenant, row.rejection_id, "", row.window_start, number)
            snapshot.add("records", *values, None, False)

    def _parsed(self, snapshot: SnapshotWriter, key: str, content: Content) -> Rejected | None:
        if content is None:
            return None  # swept a moment ago
        try:
            row = _parsed(key, content)
        except UnreadableObject as error:
            snapshot.fault("unreadable", key, error.detail)
            return None
        if layout.rejection_key(row.rejection_id) != key:
            snapshot.fault("misplaced", key, f"it is the record of {row.rejection_id}")
            return None
        if self._scope.is_future(row.window_start):
            snapshot.fault("future", key, f"window {row.window_start:%F %T}")
        return row

    async def _judged(self, suspects: Sequence[Suspect]) -> list[Finding]:
        """Check suspects of one code again; returns the faults among them."""
        code = suspects[0].code
        if code in {"duplicate_row", "row_differs"}:
            return [Finding(code, _key(suspect), f"in {suspect.file}") for suspect in suspects]
        # Read the records again: a row may be newer than the scan of its record.
        contents = await read_each(self._store, list(map(_key, suspects)))
        pairs = list(zip(suspects, contents, strict=True))
        if code == "row_without_image":
            gone = [suspect for suspect, content in pairs if content is None]
            detail = "no record; the row is in"
            return [Finding(code, _key(suspect), f"{detail} {suspect.file}") for suspect in gone]
        records = []
        for suspect, content in pairs:
            with suppress(UnreadableObject):  # expired meanwhile, or reported by the next audit
                records += [_parsed(_key(suspect), content)] if content is not None else []
        # Either the consumer died before it journaled the row and no consumer read the message
        # again, or the row was lost.
        bad = {r.rejection_id: error for r, error in await self._journal.append_all(records)}
        return [
            Finding(code, layout.rejection_key(r.rejection_id), str(bad.get(r.rejection_id, _NOW)))
            for r in records
        ]


def _parsed(key: str, content: bytes | UnreadableObject) -> Rejected:
    if isinstance(content, UnreadableObject):
        raise content
    return parse_rejected(key, content)


def _key(suspect: Suspect) -> str:
    return layout.rejection_key(suspect.image_id)
