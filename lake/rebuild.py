"""Rebuilding: the lake made again from the records alone, in place (docs/decisions/0004).

One home after the other, by the rules that sealers follow, so it runs beside them:
  1. a hole is filled, and a file that does not parse is overwritten (If-Match), by a file without
     rows that names the erased
  2. rows that are not their record's, or doubled, or with `everything` all of them, are taken out
     (If-Match); files that are not of a chain are deleted
  3. records without a row are read again, journaled, and sealed
  4. again from 1, until there is nothing to do
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from lake import layout
from lake.checks import Ledger
from lake.errors import AlreadyExists, KeyMissing, LakeError, Mismatch, UnreadableObject
from lake.evidence import Evidence
from lake.journal import Journal
from lake.lake import Lake
from lake.record_reading import Reading, read_records
from lake.records import parse_record
from lake.rows import decode_chain_file, encode_chain_file, erased_ids
from lake.schema import IMAGES, ImageRecord, Named
from lake.scope import Scope
from lake.settings import LakeSettings

log = logging.getLogger(__name__)

_TRIES = 5
# Records read and journaled at once.
_BATCH = 1024

Name = tuple[str, str]
"""tenant and id"""
Expected = dict[Name, tuple[str, str] | None]
"""each record of a home: its attempt and content hash, None for a tombstone"""


@dataclass(slots=True)
class RebuildReport:
    """What was done: rows taken out and put in, files written anew; `failed` are homes."""

    homes: int = 0
    kept: int = 0
    removed: int = 0
    added: int = 0
    files: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Turn:
    """One look at a home: whose rows it should have and keeps, and what was changed."""

    home: datetime
    expected: Expected
    everything: bool
    kept: set[Name] = field(default_factory=set)
    removed: int = 0
    files: int = 0

    @property
    def erased(self) -> frozenset[str]:
        """What files must say of this home's tombstones."""
        return frozenset(image_id for (_, image_id), row in self.expected.items() if row is None)

    @property
    def missing(self) -> list[Name]:
        """Images that kept no row."""
        rows = self.expected.items()
        return [name for name, row in rows if row is not None and name not in self.kept]


class Rebuilder:
    """Rebuilds the lake of one store."""

    def __init__(self, lake: Lake, settings: LakeSettings, *, processes: int | None = None) -> None:
        self._lake = lake
        self._store = lake.store
        self._settings = settings
        self._processes = processes

    async def run(self, *, everything: bool = False) -> RebuildReport:
        """All homes within retention; raises StoreUnavailable where the store can't be listed.

        `everything` writes all rows anew, not only those that are wrong. A home that fails is
        logged and counted.
        """
        await self._lake.clock.fresh()
        scope = Scope.of(self._settings, self._lake.clock.now())
        report = RebuildReport()
        with tempfile.TemporaryDirectory(prefix="pixlake-rebuild-") as scratch:
            folder = Path(scratch)
            with Evidence(folder) as evidence:
                reading = Reading(self._settings, scope, folder)
                await read_records(self._store, evidence, reading, self._processes)
            async for home, expected in self._homes(scope, folder):
                report.homes += 1
                try:
                    await self._rebuild(home, expected, report, everything=everything)
                except LakeError:
                    report.failed += 1
                    log.exception("home %s not rebuilt", layout.home_name(home))
        return report

    async def _homes(self, scope: Scope, folder: Path) -> AsyncIterator[tuple[datetime, Expected]]:
        """Every home with a record or a file, in order of time."""
        filed = await self._filed_homes(scope)
        ledger = await asyncio.to_thread(Ledger, folder)
        try:
            for home, rows in ledger.records_by_home(scope):
                filed.discard(home)
                yield home, {(t, i): None if dead else (a, c) for t, i, a, c, dead in rows}
        finally:
            ledger.close()
        for home in sorted(filed):
            yield home, {}

    async def _filed_homes(self, scope: Scope) -> set[datetime]:
        homes = set()
        async for stored in self._store.walk(layout.LAKE_IMAGES):
            parsed = layout.parse_chain_key(stored.key)
            if parsed is None or layout.chain_key(*parsed) != stored.key:
                # DuckDB would read it as well, and nobody else writes here.
                await self._store.delete(stored.key)
            elif scope.holds(parsed[0]):
                homes.add(parsed[0])
        return homes

    async def _rebuild(
        self, home: datetime, expected: Expected, report: RebuildReport, *, everything: bool
    ) -> None:
        for _ in range(_TRIES):
            turn = _Turn(home, expected, everything)
            try:
                await self._clean(turn)
            except (AlreadyExists, Mismatch, KeyMissing):
                continue  # somebody else writes here, too
            everything = False
            added = await self._add(home, turn.missing)
            report.removed += turn.removed
            report.files += turn.files
            report.added += added
            if not added and not turn.files:
                report.kept += len(turn.kept)
                return
        raise UnreadableObject(f"home {layout.home_name(home)} does not stay rebuilt")

    async def _clean(self, turn: _Turn) -> None:
        """Steps 1 and 2."""
        numbers = {
            parsed[1]
            for stored in await self._store.objects(layout.hour_prefix(turn.home))
            if (parsed := layout.parse_chain_key(stored.key)) and parsed[0] == turn.home
        }
        for number in range(max(numbers, default=-1) + 1):
            key = layout.chain_key(turn.home, number)
            if number in numbers:
                await self._clean_file(key, turn)
            else:
                await self._store.create(key, encode_chain_file(IMAGES.empty_table(), turn.erased))
                turn.files += 1

    async def _clean_file(self, key: str, turn: _Turn) -> None:
        data, stored = await self._store.get(key)
        try:
            table = await asyncio.to_thread(decode_chain_file, key, data)
            noted = erased_ids(key, table)
        except UnreadableObject:
            table, noted, readable = IMAGES.empty_table(), turn.erased, False
        else:
            readable = True
        keep = await self._right(table, turn)
        wrong = len(keep) - sum(keep)
        if wrong or not readable:
            right = table.filter(pa.array(keep, pa.bool_()))
            body = await asyncio.to_thread(encode_chain_file, right, noted | turn.erased)
            await self._store.replace(key, body, stored.etag)
            turn.removed += wrong
            turn.files += 1

    async def _right(self, table: pa.Table, turn: _Turn) -> list[bool]:
        """Of each row, whether it may stay: it is its record's, and the first of it."""
        names = list(_pairs(table, "tenant", "image_id"))
        facts = list(_pairs(table, "attempt", "content_hash"))
        rows = list(zip(names, facts, table["home"].to_pylist(), strict=True))
        odd = [name for name, fact, _ in rows if turn.expected.get(name) != fact]
        unreadable = set()
        for name, record in (await self._records(odd)).items():
            if isinstance(record, UnreadableObject):
                # The audit names it. Its row is all that is left to read of it.
                unreadable.add(name)
            elif isinstance(record, ImageRecord) and record.home == turn.home:
                # Committed since the records were read.
                turn.expected[name] = record.attempt, record.content_hash
        keep = []
        for name, fact, home in rows:
            right = turn.expected.get(name) == fact and not turn.everything
            stays = (right or name in unreadable) and home == turn.home and name not in turn.kept
            keep.append(stays)
            if stays:
                turn.kept.add(name)
        return keep

    async def _add(self, home: datetime, names: Sequence[Name]) -> int:
        """Step 3; returns how many rows were journaled."""
        # Its own, as a journal appends what it knows to be durable only once.
        journal = Journal(self._store)
        added = 0
        for start in range(0, len(names), _BATCH):
            records = await self._records(names[start : start + _BATCH])
            mine = [r for r in records.values() if isinstance(r, ImageRecord) and r.home == home]
            await asyncio.gather(*map(journal.append, mine))
            added += len(mine)
        if added:
            await self._lake.sealer.seal_home(home)
        return added

    async def _records(self, names: Sequence[Name]) -> dict[Name, Named | UnreadableObject]:
        """What these images' records are now; those without one are left out."""
        found: dict[Name, Named | UnreadableObject] = {}
        keys = [layout.record_key(*name) for name in names]
        datas = await self._store.read_many(keys)
        for name, key, data in zip(names, keys, datas, strict=True):
            if data is None:
                continue
            try:
                record = parse_record(key, data)
            except UnreadableObject as error:
                found[name] = error
            else:
                if (record.tenant, record.image_id) == name:
                    found[name] = record
        return found


def _pairs(table: pa.Table, first: str, second: str) -> Iterable[tuple[str, str]]:
    return zip(table[first].to_pylist(), table[second].to_pylist(), strict=True)
