"""The audit looks at rejections: each record has one row, each row its record."""

from collections import Counter
from datetime import datetime

from lake import layout
from lake.errors import KeyMissing, UnreadableObject
from lake.evidence import Fault
from lake.journal import Journal
from lake.object_store import ObjectStore
from lake.rejections import parse_rejected
from lake.rows import decode_chain_file, decode_journal
from lake.scope import Scope
from lake.tables import REJECTION_TABLE, Rejected

_FOLDERS = REJECTION_TABLE.folders
_COLUMNS = ["rejection_id", "home"]
# Records read at once.
_BATCH = 1024


class RejectionScan:
    """Compares records and rows; what a message left without a row is journaled."""

    def __init__(self, store: ObjectStore, scope: Scope) -> None:
        self._store = store
        self._scope = scope
        self._faults: list[Fault] = []

    async def faults(self) -> list[Fault]:
        """What is wrong; raises StoreUnavailable, StoreFull."""
        records = await self._records()
        waiting = await self._journal()
        rows = await self._chains()
        journal = Journal(self._store, REJECTION_TABLE)
        for record in records.values():
            if record.rejection_id in rows or record.rejection_id in waiting:
                continue
            if self._scope.start <= record.home < self._scope.settled:
                # Its consumer died before the row, and nobody read the message again; or a loss.
                key = layout.rejection_key(record.rejection_id)
                self._fault("missing_row", key, "journaled now")
                await journal.append(record)
        for name, (count, home) in rows.items():
            if count > 1:
                self._fault("duplicate_row", layout.rejection_key(name), f"{count} rows")
            if name not in records and home >= self._scope.row_floor:
                await self._check_record(name)
        return self._faults

    async def _records(self) -> dict[str, Rejected]:
        records: dict[str, Rejected] = {}
        keys: list[str] = []
        async for stored in self._store.walk(layout.REJECTION_RECORDS):
            if self._scope.is_overdue(stored.modified):
                self._fault("overdue", stored.key, f"since {stored.modified:%F %T}")
            keys.append(stored.key)
        for start in range(0, len(keys), _BATCH):
            some = keys[start : start + _BATCH]
            for key, data in zip(some, await self._store.read_many(some), strict=True):
                if data is not None:
                    try:
                        record = parse_rejected(key, data)
                        records[record.rejection_id] = record
                    except UnreadableObject as error:
                        self._fault("unreadable", key, error.message)
        return records

    async def _journal(self) -> set[str]:
        waiting: set[str] = set()
        for name in await self._store.folders(_FOLDERS.journal):
            home = layout.parse_home(name)
            for stored in await self._store.objects(layout.journal_prefix(home, _FOLDERS)):
                if self._scope.is_stale(home, stored.modified, tombstone=False):
                    self._fault("stale_journal", stored.key, f"since {stored.modified:%F %T}")
                try:
                    data, _ = await self._store.get(stored.key)
                    rows = decode_journal(stored.key, data, REJECTION_TABLE).images
                    waiting.update(rows["rejection_id"].to_pylist())
                except KeyMissing:
                    continue  # sealed a moment ago
                except UnreadableObject as error:
                    self._fault("unreadable", stored.key, error.message)
        return waiting

    async def _chains(self) -> dict[str, tuple[int, datetime]]:
        """How many rows there are of each id, and their home."""
        counts: Counter[str] = Counter()
        homes: dict[str, datetime] = {}
        async for stored in self._store.walk(_FOLDERS.chains):
            try:
                data, _ = await self._store.get(stored.key)
                rows = decode_chain_file(stored.key, data, _COLUMNS)
            except KeyMissing:
                continue  # swept a moment ago
            except UnreadableObject as error:
                self._fault("unreadable", stored.key, error.message)
                continue
            ids = rows["rejection_id"].to_pylist()
            counts.update(ids)
            homes |= dict(zip(ids, rows["home"].to_pylist(), strict=True))
        return {name: (count, homes[name]) for name, count in counts.items()}

    async def _check_record(self, name: str) -> None:
        """Of a row whose record was not there when records were read."""
        try:
            await self._store.head(layout.rejection_key(name))
        except KeyMissing:
            self._fault("row_without_image", layout.rejection_key(name), "a row, and no record")

    def _fault(self, code: str, subject: str, detail: str) -> None:
        self._faults.append(Fault(code, subject, detail))
