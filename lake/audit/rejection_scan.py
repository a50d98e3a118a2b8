"""Audit of rejections: each record must have one row, and each row a record."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pyarrow as pa

from lake import layout
from lake.audit.checks import AuditQueries, Suspect
from lake.audit.recheck import grouped
from lake.audit.row_scan import each
from lake.audit.scope import Scope
from lake.audit.snapshot import Finding, SnapshotWriter
from lake.commit.journal import Journal
from lake.commit.journal_reading import read_wave, waves
from lake.commit.rejections import parse_rejected
from lake.errors import KeyMissing, UnreadableObject
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.rows import decode_chain_file
from lake.tables.tables import REJECTION_TABLE

_NOW = "journaled now"
_FOLDERS = REJECTION_TABLE.folders
_COLUMNS = ["tenant", "rejection_id", "window_start"]
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

    async def faults(self, limit: int) -> AsyncIterator[tuple[int, list[Finding]]]:
        """Yield the number of faults of each kind, and the first `limit` of them.

        Raises StoreUnavailable, StoreFull.
        """
        self._folder.mkdir()
        with SnapshotWriter(self._folder) as snapshot:
            await self.scan_records(snapshot)
            await self._waiting(snapshot)
            await self._chains(snapshot)
        queries = await asyncio.to_thread(AuditQueries, self._folder)
        try:
            for code, count, first in queries.faults(limit):
                yield count, [Finding(code, *example) for example in first]
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
                keys = [stored.key for stored in page[start : start + _BATCH]]
                for key, data in zip(keys, await self._store.read_many(keys), strict=True):
                    if data is not None:
                        self._record(snapshot, key, data)

    def _record(self, snapshot: SnapshotWriter, key: str, data: bytes) -> None:
        try:
            row = parse_rejected(key, data)
        except UnreadableObject as error:
            snapshot.fault("unreadable", key, error.detail)
        else:
            snapshot.add("records", row.tenant, row.rejection_id, "", row.window_start, None, False)

    async def _waiting(self, snapshot: SnapshotWriter) -> None:
        for name in await self._store.folders(_FOLDERS.journal):
            try:
                window_start = layout.parse_window(name)
            except ValueError:
                snapshot.fault("orphan", f"{_FOLDERS.journal}/{name}", "not a window")
                continue
            objects = await self._store.objects(layout.journal_prefix(window_start, _FOLDERS))
            for stored in objects:
                if self._scope.is_stale(window_start, stored.modified, tombstone=False):
                    since = f"since {stored.modified:%F %T}"
                    snapshot.fault("stale_journal", stored.key, since)
            for wave in waves(objects):
                await self._journal_objects(snapshot, wave)

    async def _journal_objects(self, snapshot: SnapshotWriter, wave: Sequence[Stored]) -> None:
        decoded = await read_wave(self._store, wave, REJECTION_TABLE)
        for key, error in decoded.unreadable.items():
            snapshot.fault("unreadable", key, error.detail)
        waiting = _as_snapshot(decoded.rows(REJECTION_TABLE).images)
        falses = pa.repeat(pa.scalar(value=False), len(waiting))
        snapshot.add_table("waiting", waiting.append_column("tombstone", falses))

    async def _chains(self, snapshot: SnapshotWriter) -> None:
        async for page in self._store.pages(_FOLDERS.chains):
            await each(page, partial(self._chain_file, snapshot))

    async def _chain_file(self, snapshot: SnapshotWriter, stored: Stored) -> None:
        try:
            data, _ = await self._store.get(stored.key)
            table = await asyncio.to_thread(decode_chain_file, stored.key, data, _COLUMNS)
        except KeyMissing:
            return  # swept a moment ago
        except UnreadableObject as error:
            snapshot.fault("unreadable", stored.key, error.detail)
            return
        names = pa.repeat(pa.scalar(stored.key), len(table))
        snapshot.add_table("rows", _as_snapshot(table).append_column("file", names))

    async def _judged(self, suspects: Sequence[Suspect]) -> list[Finding]:
        """Check suspects of one code again; returns the faults among them."""
        code = suspects[0].code
        if code in {"duplicate_row", "row_differs"}:
            return [Finding(code, _key(suspect), f"in {suspect.file}") for suspect in suspects]
        # Read the records again: a row may be newer than the scan of its record.
        datas = await self._store.read_many(list(map(_key, suspects)))
        pairs = list(zip(suspects, datas, strict=True))
        if code == "row_without_image":
            gone = [suspect for suspect, data in pairs if data is None]
            detail = "no record; the row is in"
            return [Finding(code, _key(suspect), f"{detail} {suspect.file}") for suspect in gone]
        records = []
        for suspect, data in pairs:
            with suppress(UnreadableObject):  # expired meanwhile, or reported by the next audit
                records += [parse_rejected(_key(suspect), data)] if data is not None else []
        # Either the consumer died before it journaled the row and no consumer read the message
        # again, or the row was lost.
        bad = {r.rejection_id: error for r, error in await self._journal.append_all(records)}
        return [
            Finding(code, layout.rejection_key(r.rejection_id), str(bad.get(r.rejection_id, _NOW)))
            for r in records
        ]


def _key(suspect: Suspect) -> str:
    return layout.rejection_key(suspect.image_id)


def _as_snapshot(rows: pa.Table) -> pa.Table:
    """Convert rows to columns of the snapshot; attempt and content hash are empty."""
    nothing = pa.repeat(pa.scalar(""), len(rows))
    return pa.table(
        {
            "tenant": rows["tenant"],
            "image_id": rows["rejection_id"],
            "attempt": nothing,
            "window_start": rows["window_start"],
            "content_hash": pa.nulls(len(rows), pa.string()),
        }
    )
