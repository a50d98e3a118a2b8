"""Rebuild of the lake's tables in place, from the records alone (docs/decisions/0004).

The rebuild processes one table and window after the other, by the same rules as sealers, so that
sealers may run at the same time:
  1. remove (If-Match) rows that do not match their record or are duplicates, or all rows with
     `everything`; the file names its images that are erased; delete files that belong to no chain
  2. read records without a row again, and journal them
  3. fill a missing file of a chain, and overwrite (If-Match) a file that does not parse, with a
     file without rows that names all erased images
  4. seal the window
  5. repeat from 1 until nothing changes; then update the hour's compacted copy
While a file of its chain is missing or does not parse, no sealer seals a window. So the rows of
such a file wait in the journal, where readers find them, from before the step that lets readers use
the chain again until they are sealed.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lake import layout
from lake.audit.scope import Scope
from lake.commit.journal import Journal
from lake.errors import UnreadableObject, UnstorableRow
from lake.lake import Lake
from lake.logs import logger
from lake.rebuild.expected_rows import Expected, ExpectedRows, Name
from lake.settings import LakeSettings
from lake.store.decision import compare_and_swap
from lake.tables.rows import decode_chain_file, encode_chain_file, erased_ids
from lake.tables.tables import TABLES

log = logger(__name__)

_TRIES = 5
# Records read and journaled at once.
_BATCH = 1024


@dataclass(slots=True)
class RebuildReport:
    """Result of a rebuild: rows removed and added, files rewritten, windows failed.

    `skipped` are keys of records that can't be read or do not fit into a row, at most 1,000 of each
    kind. These records and their rows are not changed.
    """

    windows: int = 0
    kept: int = 0
    removed: int = 0
    added: int = 0
    files: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)

    def count(self, turn: "_Turn", added: int) -> None:
        """Add the changes of a turn."""
        self.removed += turn.removed
        self.files += turn.files
        self.added += added


@dataclass(slots=True)
class _Turn:
    """Result of a pass over a window: expected rows, kept rows, and changes."""

    window_start: datetime
    expected: Expected
    everything: bool
    kept: set[Name] = field(default_factory=set)
    removed: int = 0
    files: int = 0

    @property
    def erased(self) -> frozenset[str]:
        """Ids of erased images that the files of this window must name."""
        return frozenset(image_id for (_, image_id), row in self.expected.items() if row is None)

    @property
    def missing(self) -> list[Name]:
        """Images without a row."""
        rows = self.expected.items()
        return [name for name, row in rows if row is not None and name not in self.kept]


class Rebuilder:
    """Rebuilds the lake of one store."""

    def __init__(self, lake: Lake, settings: LakeSettings, *, processes: int | None = None) -> None:
        self._lake = lake
        self._settings = settings
        self._processes = processes

    async def run(self, *, everything: bool = False, dry_run: bool = False) -> RebuildReport:
        """Rebuild all windows within retention; raises StoreUnavailable if it can't be listed.

        `everything` rewrites all rows, not only wrong ones. A window that fails is logged and
        counted. A dry run counts the changes and writes nothing.
        """
        await self._lake.clock.fresh()
        scope = Scope.of(self._settings, self._lake.clock)
        report = RebuildReport()
        with tempfile.TemporaryDirectory(prefix="pixlake-rebuild-") as scratch:
            for table in TABLES:
                expected_rows = ExpectedRows(
                    self._lake.store, table, self._settings, self._processes
                )
                rebuilder = _TableRebuilder(
                    self._lake, expected_rows, report, everything=everything, dry_run=dry_run
                )
                await rebuilder.run(scope, Path(scratch))
                for key in expected_rows.skipped:
                    log.error("record can't be read and is skipped", key=key)
                report.skipped += expected_rows.skipped
        return report


class _TableRebuilder:
    """Rebuilds one table."""

    def __init__(
        self,
        lake: Lake,
        expected_rows: ExpectedRows,
        report: RebuildReport,
        *,
        everything: bool,
        dry_run: bool,
    ) -> None:
        self._store = lake.store
        self._table_maintenance = lake.maintenance.of(expected_rows.table)
        self._expected_rows = expected_rows
        self._table = expected_rows.table
        self._report = report
        self._everything = everything
        self._dry_run = dry_run

    async def run(self, scope: Scope, scratch: Path) -> None:
        """Rebuild every window; a failed window is logged and counted."""
        async for window_start, expected in self._windows(scope, scratch):
            self._report.windows += 1
            try:
                await self._rebuild(window_start, expected)
            except Exception:  # one failed window must not stop the others
                self._report.failed += 1
                log.exception("window not rebuilt", window=layout.window_name(window_start))

    async def _windows(
        self, scope: Scope, scratch: Path
    ) -> AsyncIterator[tuple[datetime, Expected]]:
        """Yield every window with a record or a file."""
        filed = await self._filed_windows(scope)
        async for window_start, expected in self._expected_rows.windows(scope, scratch):
            filed.discard(window_start)
            yield window_start, expected
        for window_start in sorted(filed):
            yield window_start, {}

    async def _filed_windows(self, scope: Scope) -> set[datetime]:
        windows = set()
        folders = self._table.folders
        async for stored in self._store.walk(folders.chains):
            parsed = layout.parse_chain_key(stored.key)
            if parsed is None or layout.chain_key(*parsed, folders) != stored.key:
                # DuckDB would read this file, too. No other program writes here, so delete it.
                if not self._dry_run:
                    await self._store.delete(stored.key)
            elif scope.holds(parsed[0]):
                windows.add(parsed[0])
        return windows

    async def _rebuild(self, window_start: datetime, expected: Expected) -> None:
        report, everything = self._report, self._everything

        async def step() -> set[Name] | None:
            nonlocal everything
            turn = _Turn(window_start, expected, everything)
            holes = await self._clean(turn)
            if self._dry_run:
                report.count(turn, len(turn.missing))
                return turn.kept
            everything = False
            added = await self._journal(window_start, turn.missing)
            for number, etag in holes.items():
                await self._write_empty(number, etag, turn)
            if added:
                await self._table_maintenance.sealer.seal_window(window_start)
            report.count(turn, added)
            return None if added or turn.files else turn.kept

        kept = await compare_and_swap(
            step,
            f"window {layout.window_name(window_start)}",
            tries=_TRIES,
            error=UnreadableObject,
        )
        report.kept += len(kept)
        if not self._dry_run:
            await self._table_maintenance.compactor.follow(window_start)

    async def _clean(self, turn: _Turn) -> dict[int, str | None]:
        """Clean all readable files of a window (step 1).

        Returns the numbers of the others: None for a missing file, the ETag of one that does not
        parse. They are written last: no file may name an erased image while another has its row.
        """
        numbers = {
            parsed[1]
            for stored in await self._store.objects(
                layout.hour_prefix(turn.window_start, self._table.folders)
            )
            if (parsed := layout.parse_chain_key(stored.key)) and parsed[0] == turn.window_start
        }
        holes: dict[int, str | None] = {}
        for number in range(max(numbers, default=-1) + 1):
            if number not in numbers:
                holes[number] = None
            elif etag := await self._clean_file(number, turn):
                holes[number] = etag
        turn.files += len(holes)
        return holes

    async def _clean_file(self, number: int, turn: _Turn) -> str | None:
        """Remove the wrong rows of a file; returns the ETag if the file can't be read."""
        key = layout.chain_key(turn.window_start, number, self._table.folders)
        data, stored = await self._store.get(key)
        try:
            table = await asyncio.to_thread(decode_chain_file, key, data, of=self._table)
            noted = erased_ids(key, table)
        except UnreadableObject:
            return stored.etag
        keep = await self._expected_rows.right(
            table, turn.window_start, turn.expected, turn.kept, everything=turn.everything
        )
        if wrong := len(keep) - sum(keep):
            if not self._dry_run:
                kept = pa.array(keep, pa.bool_())
                lost = table.filter(pc.invert(kept))[self._table.id].to_pylist()
                noted |= turn.erased.intersection(lost)
                body = await asyncio.to_thread(self._encoded, table.filter(kept), noted)
                await self._store.replace(key, body, stored.etag)
            turn.removed += wrong
            turn.files += 1
        return None

    async def _write_empty(self, number: int, etag: str | None, turn: _Turn) -> None:
        """Write a file without rows in place of a missing one, or of this version of one."""
        key = layout.chain_key(turn.window_start, number, self._table.folders)
        body = self._encoded(None, turn.erased)
        if etag is None:
            await self._store.create(key, body)
        else:
            await self._store.replace(key, body, etag)

    async def _journal(self, window_start: datetime, names: Sequence[Name]) -> int:
        """Journal missing rows (step 2); returns their number."""
        # A new journal, because a journal does not append a row twice.
        journal = Journal(self._store, self._table)
        added = 0
        for start in range(0, len(names), _BATCH):
            records = (await self._expected_rows.records(names[start : start + _BATCH])).values()
            mine = [
                r
                for r in records
                if r is not None
                and not isinstance(r, UnreadableObject)
                and r.window_start == window_start
            ]
            bad = await journal.append_all(mine)
            for record, error in bad:
                self._skip(self._expected_rows.key(record), error)
            added += len(mine) - len(bad)
        return added

    def _skip(self, key: str, error: UnstorableRow) -> None:
        if key not in self._report.skipped:
            log.error("record gives no valid row and is skipped", key=key, error=error.detail)
            self._report.skipped.append(key)

    def _encoded(self, rows: pa.Table | None, erased: frozenset[str]) -> bytes:
        rows = self._table.columns.empty_table() if rows is None else rows
        return encode_chain_file(rows, erased, of=self._table)
