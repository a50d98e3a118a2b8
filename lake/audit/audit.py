"""Audit: proves from the store alone that the lake keeps its guarantees (I1 to I4).

  1. take a snapshot: the journal, then the chains (rows move in this direction), then the records
     with the listing of their objects, in one process per core
  2. join the tables of the snapshot: images and rows that do not agree are suspects
  3. check each suspect again by itself: a suspect that still does not agree is a fault
  4. hash the objects of a sample of images; a full audit hashes all objects in step 1
  5. do the same for rejections; then check compacted copies, presets and unknown names

An object that can't be read is a fault, and the audit continues.

An audit may take any time and run beside all other processes. It writes only missing rows of
images, and marks for these images (`unfinished.py`).
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lake import layout
from lake.audit.checks import CHECKS, AuditQueries
from lake.audit.copy_scan import SAMPLE_BYTES, CopyScan
from lake.audit.erasure_scan import scan_erasures
from lake.audit.final_checks import ERASURES, WAITING
from lake.audit.last_audit import LastAudit, last_audit
from lake.audit.name_scan import NameScan
from lake.audit.object_reading import first_line, read_object
from lake.audit.preset_scan import PresetScan
from lake.audit.recheck import Recheck, grouped
from lake.audit.record_reading import Reading, read_records
from lake.audit.record_scan import RecordScan, Seen
from lake.audit.rejection_scan import RejectionScan
from lake.audit.row_scan import RowScan, SeenRows
from lake.audit.scope import Scope
from lake.audit.shadow_scan import scan_shadow
from lake.audit.snapshot import Finding, SnapshotWriter
from lake.audit.unfinished import Unfinished
from lake.commit.journal import Journal
from lake.errors import KeyMissing, LakeError
from lake.settings import LakeSettings
from lake.store.accepted_time import refused_since
from lake.store.clock import StoreClock
from lake.store.object_store import ObjectStore
from lake.store.store_settings import parse_store_settings
from lake.tables.tables import IMAGE_TABLE, REJECTION_TABLE, TABLES, Table

# Largest number of reported examples of each kind of fault; the counts include all faults.
_EXAMPLES = 1000
# Images of the sample that are hashed at once.
_SAMPLERS = 16


@dataclass(slots=True)
class AuditReport:
    """Counts of what an audit read, and its faults by kind."""

    scope: Scope
    seen: Seen = field(default_factory=Seen)
    rows: SeenRows = field(default_factory=SeenRows)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHECKS, 0))
    examples: dict[str, list[Finding]] = field(default_factory=lambda: {c: [] for c in CHECKS})
    full: bool = False
    too_young: int = 0
    """images without a row that are younger than an hour, so that nothing is proven yet"""
    unread: list[str] = field(default_factory=list)
    """what the store may hold that an audit can't read"""

    @property
    def ok(self) -> bool:
        """True if every guarantee holds; `unfinished` is not a failure yet."""
        return not any(count for code, count in self.counts.items() if code != "unfinished")

    def add(self, faults: Sequence[Finding]) -> None:
        """Count faults, and keep the first ones of each kind as examples."""
        for fault in faults:
            self.counts[fault.code] += 1
            if len(self.examples[fault.code]) < _EXAMPLES:
                self.examples[fault.code].append(fault)

    def summary(self) -> LastAudit:
        """Result that the store keeps."""
        scope = self.scope
        return LastAudit(
            at=scope.now, start=scope.start, end=scope.end, full=self.full, faults=self.counts
        )

    def document(self) -> dict[str, Any]:
        """Content of the JSON report."""
        seen = asdict(self.seen) | asdict(self.rows)
        del seen["sample"], seen["presets"]
        return {
            "ok": self.ok,
            "at": self.scope.now.isoformat(),
            "from": self.scope.start.isoformat(),
            "to": self.scope.end.isoformat(),
            "full": self.full,
            "seen": seen | {"too_young": self.too_young},
            "unread": self.unread,
            "checks": {
                code: {
                    "about": CHECKS[code],
                    "found": self.counts[code],
                    "examples": [
                        {"subject": fault.subject, "detail": fault.detail}
                        for fault in self.examples[code]
                    ],
                }
                for code in CHECKS
            },
        }


class Audit:
    """Audit of one store; hashes all objects if `full`, else those of `sample` images.

    It compares the rows of all compacted copies if `full`, else up to `copy_bytes` of them.
    `processes` is the number of processes that read records; the default is one per core.
    """

    def __init__(
        self,
        store: ObjectStore,
        clock: StoreClock,
        settings: LakeSettings,
        *,
        full: bool = False,
        sample: int = 1000,
        copy_bytes: int = SAMPLE_BYTES,
        processes: int | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._full = full
        self._sample = 0 if full else sample
        self._copy_bytes = None if full else copy_bytes
        self._processes = processes

    async def run(self, start: datetime | None = None, end: datetime | None = None) -> AuditReport:
        """Audit the windows in [start, end), by default all; raises StoreUnavailable, StoreFull."""
        await self._clock.fresh()
        scope = Scope.of(self._settings, self._clock, start, end)
        scope = replace(scope, swept=await refused_since(self._store, self._clock))
        report = AuditReport(scope, full=self._full)
        if self._settings.location.startswith("s3:"):
            report.unread.append("old versions of objects, if the bucket keeps them")
        with tempfile.TemporaryDirectory(prefix="pixlake-audit-") as scratch:
            images, rejections = Path(scratch) / "images", Path(scratch) / "rejections"
            images.mkdir()
            rejections.mkdir()
            rows = await self._images(scope, images, report)
            for table in images.glob("refusals-*"):
                table.rename(rejections / table.name)
            scan = RejectionScan(self._store, scope, rejections)
            async for count, faults in scan.faults(_EXAMPLES):
                report.add(faults)
                report.counts[faults[0].code] += count - len(faults)
        await self._rest(scope, report, {IMAGE_TABLE: rows, REJECTION_TABLE: scan.hours})
        return report

    async def _images(self, scope: Scope, folder: Path, report: AuditReport) -> Counter[datetime]:
        """Audit images and their rows; returns the number of rows of each hour."""
        with SnapshotWriter(folder) as snapshot:
            rows = RowScan(self._store, scope, snapshot)
            report.rows = rows.seen
            await rows.scan_journal()
            await rows.scan_chains()
            await scan_shadow(self._store, snapshot)
            await self._probes(scope, snapshot)
            report.seen = await self._records(scope, snapshot, folder)
            await scan_erasures(self._store, scope, snapshot)
        await self._join(scope, folder, report)
        return rows.hours

    async def _rest(
        self, scope: Scope, report: AuditReport, rows: Mapping[Table, Counter[datetime]]
    ) -> None:
        """Audit copies, presets and names."""
        scans: list[AsyncIterator[Finding]] = [
            CopyScan(
                self._store, table, scope, rows=rows[table], sample_bytes=self._copy_bytes
            ).faults()
            for table in TABLES
        ]
        scans.append(self._settings_objects())
        scans.append(PresetScan(self._store, scope, report.seen.presets).faults())
        scans.append(NameScan(self._store, scope).faults())
        for scan in scans:
            async for fault in scan:
                report.add([fault])

    async def _settings_objects(self) -> AsyncIterator[Finding]:
        """Check the settings of the store, and the result of the last audit."""
        try:
            parse_store_settings((await read_object(self._store, layout.STORE))[0])
        except KeyMissing:
            yield Finding("missing_object", layout.STORE, "every store has its settings")
        except LakeError as error:
            yield Finding("unreadable", layout.STORE, first_line(error))
        try:
            await last_audit(self._store)
        except LakeError as error:
            yield Finding("unreadable", layout.LAST_AUDIT, first_line(error))

    async def _records(self, scope: Scope, snapshot: SnapshotWriter, folder: Path) -> Seen:
        reading = Reading(self._settings, scope, folder, self._full, self._sample, rows=True)
        seen = await read_records(self._store, snapshot, reading, self._processes)
        scan = RecordScan(self._store, scope, snapshot, full=False, sample=0)
        for start in range(0, len(seen.sample), _SAMPLERS):
            batch = seen.sample[start : start + _SAMPLERS]
            await asyncio.gather(*(scan.check_bytes(tenant, name) for _, tenant, name in batch))
        seen.add(scan.seen, self._sample)
        return seen

    async def _probes(self, scope: Scope, snapshot: SnapshotWriter) -> None:
        for stored in await self._store.objects(layout.PROBE):
            if scope.is_orphan(stored.modified):
                snapshot.fault("orphan", stored.key, "a leftover of a start-up probe")

    async def _join(self, scope: Scope, folder: Path, report: AuditReport) -> None:
        unfinished = Unfinished(self._store, Journal(self._store), scope)
        recheck = Recheck(self._store, unfinished)
        queries = await asyncio.to_thread(AuditQueries, folder)
        try:
            for code, count, first in queries.faults(_EXAMPLES):
                report.add([Finding(code, *example) for example in first])
                report.counts[code] += count - len(first)
            for sql in (ERASURES, WAITING):
                for fault in queries.findings(sql, scope):
                    report.add([fault])
            for suspects in grouped(queries.suspects(scope)):
                report.add(await recheck.faults(suspects))
            report.too_young = queries.too_young(scope)
        finally:
            queries.close()
        await unfinished.clear()
