"""Metrics of the lake: what the sealer, the compactor, the sweeper, audits and the store count.

Each package has such a file: a list of its metrics, and a function that reads their values from
plain numbers. Nothing is exported outside of Ray. In a replica, `lake/metrics_export.py` exports
the values every few seconds, so counting costs an upload no more than an addition.
`docs/metrics.md` is made from the lists.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

from lake.audit.last_audit import LastAudit
from lake.lake import Lake
from lake.retention.sweep_report import SweepReport
from lake.seal.maintenance import MaintenanceReport
from lake.tables.tables import TABLES


@dataclass(frozen=True, slots=True)
class Metric:
    """Metric of a package: a counter only grows, a gauge is the present value.

    `labels` are names of labels. Their values come from short lists in the code: never tenants,
    images, keys or a text of a client.
    """

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    about: str
    labels: tuple[str, ...] = ()

    def at(self, value: float, *labels: str) -> "Sample":
        """Value of this metric, for these values of its labels."""
        return Sample(self, value, labels)


class Sample(NamedTuple):
    """Value of a metric: of a counter, the total since the start of the process."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


SEALED_ROWS: Final = Metric(
    "pixlake_sealed_rows",
    "counter",
    "rows",
    "Rows that the sealer moved from the journal to the lake.",
    ("table",),
)
SEALED_FILES: Final = Metric(
    "pixlake_sealed_files", "counter", "files", "Parquet files that the sealer wrote.", ("table",)
)
SEALED_BYTES: Final = Metric(
    "pixlake_sealed_bytes", "counter", "bytes", "Bytes of those files.", ("table",)
)
SEAL_FAILURES: Final = Metric(
    "pixlake_seal_failures",
    "counter",
    "windows",
    "Windows that could not be sealed; the next pass tries again.",
    ("table",),
)
SEAL_LAG: Final = Metric(
    "pixlake_seal_lag",
    "gauge",
    "seconds",
    "Age of the oldest window whose rows may be unsealed; usually about 2 minutes.",
    ("table",),
)
UNREADABLE: Final = Metric(
    "pixlake_journal_unreadable",
    "gauge",
    "objects",
    "Journal objects that do not parse; they stay in the journal and hold nothing else.",
    ("table",),
)
ERASURES_UNFINISHED: Final = Metric(
    "pixlake_erasures_unfinished",
    "counter",
    "erasures",
    "Attempts of the sealer to finish an erasure that failed: an object can't be deleted.",
)
JOURNAL_UNDELETED: Final = Metric(
    "pixlake_journal_undeleted",
    "counter",
    "objects",
    "Attempts of the sealer to delete a journal object that failed; its rows are sealed.",
    ("table",),
)
COMPACTED_ROWS: Final = Metric(
    "pixlake_compacted_rows", "counter", "rows", "Rows that the compactor wrote."
)
COMPACTED_FILES: Final = Metric(
    "pixlake_compacted_files", "counter", "files", "Compacted files that were written."
)
COMPACTED_BYTES: Final = Metric(
    "pixlake_compacted_bytes", "counter", "bytes", "Bytes of those files."
)
COMPACTION_FAILURES: Final = Metric(
    "pixlake_compaction_failures",
    "counter",
    "hours",
    "Hours that could not be compacted; the next pass tries again.",
)
HOURS_INCOMPLETE: Final = Metric(
    "pixlake_hours_incomplete",
    "counter",
    "hours",
    "Hours that a pass found compacted without rows that it can't seal or read; see the log.",
)
COMPACTION_LAG: Final = Metric(
    "pixlake_compaction_lag",
    "gauge",
    "seconds",
    "Age of the watermark: readers use compacted files for earlier hours only.",
    ("table",),
)
SWEPT: Final = Metric(
    "pixlake_swept",
    "counter",
    "objects",
    "Expired and orphaned objects that the sweeper deleted; `failed`: not processed.",
    ("objects",),
)
SWEEPS_REFUSED: Final = Metric(
    "pixlake_sweeps_refused",
    "counter",
    "sweeps",
    "Sweeps that deleted nothing, because the store's clock has jumped by a day or more.",
)
SKIPPED_NAMES: Final = Metric(
    "pixlake_skipped_names",
    "gauge",
    "names",
    "Names in the store that are not Pixlake's and are left alone; the log names each once.",
)
AUDIT_FAULTS: Final = Metric(
    "pixlake_audit_faults",
    "gauge",
    "faults",
    "Faults that the last audit found, by check; only `unfinished` is no broken guarantee.",
    ("check",),
)
AUDIT_AGE: Final = Metric(
    "pixlake_audit_age",
    "gauge",
    "seconds",
    "Time since the last audit; missing before the first one. Both are read every hour.",
)
STORE_WRITE_FAILURES: Final = Metric(
    "pixlake_store_write_failures",
    "counter",
    "writes",
    "Writes that the store did not accept: unavailable, or full.",
)

METRICS: Final = (
    SEALED_ROWS,
    SEALED_FILES,
    SEALED_BYTES,
    SEAL_FAILURES,
    SEAL_LAG,
    UNREADABLE,
    ERASURES_UNFINISHED,
    JOURNAL_UNDELETED,
    COMPACTED_ROWS,
    COMPACTED_FILES,
    COMPACTED_BYTES,
    COMPACTION_FAILURES,
    HOURS_INCOMPLETE,
    COMPACTION_LAG,
    SWEPT,
    SWEEPS_REFUSED,
    SKIPPED_NAMES,
    AUDIT_FAULTS,
    AUDIT_AGE,
    STORE_WRITE_FAILURES,
)
"""All metrics of this package."""


def store_samples(lake: Lake) -> Iterator[Sample]:
    """Read the samples of every process that writes to a store."""
    yield STORE_WRITE_FAILURES.at(lake.store.writes.failures)


class SealerTotals:
    """Totals of the passes and sweeps of one sealer process."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._all: MaintenanceReport | None = None
        self._swept: Counter[str] = Counter()
        self._refused = 0
        self.audit: LastAudit | None = None
        """result of the last audit, by any process"""

    def add_pass(self, report: MaintenanceReport) -> None:
        """Add the result of a pass."""
        self._all = self._all + report if self._all else report

    def add_sweep(self, report: SweepReport) -> None:
        """Add the result of a sweep."""
        self._swept.update(asdict(report))

    def add_refused_sweep(self) -> None:
        """Count a sweep that did not believe the store's clock."""
        self._refused += 1

    def samples(self) -> Iterator[Sample]:
        """Read the totals and the present ages, which grow also during a long pass."""
        yield from store_samples(self._lake)
        yield from self._lags(self._lake.clock.now())
        yield SKIPPED_NAMES.at(len(self._lake.store.skipped))
        for kind, count in self._swept.items():
            yield SWEPT.at(count, kind)
        yield SWEEPS_REFUSED.at(self._refused)
        if self.audit:
            yield AUDIT_AGE.at((self._lake.clock.now() - self.audit.at).total_seconds())
            for check, count in self.audit.faults.items():
                yield AUDIT_FAULTS.at(count, check)
        if self._all:
            yield from self._sealed(self._all)
            yield ERASURES_UNFINISHED.at(self._all.images.unfinished)
            yield from self._compacted(self._all)

    def _lags(self, now: datetime) -> Iterator[Sample]:
        for table in TABLES:
            table_maintenance = self._lake.maintenance.of(table)
            yield UNREADABLE.at(table_maintenance.sealer.unreadable, table.name)
            if (sealed := table_maintenance.sealer.sealed_before) is not None:
                yield SEAL_LAG.at((now - sealed).total_seconds(), table.name)
            if (
                complete := table_maintenance.compactor.watermark_advance.complete_before
            ) is not None:
                yield COMPACTION_LAG.at((now - complete).total_seconds(), table.name)

    @staticmethod
    def _sealed(total: MaintenanceReport) -> Iterator[Sample]:
        for table, sealed in (("images", total.images), ("rejections", total.rejections)):
            yield SEALED_ROWS.at(sealed.rows, table)
            yield SEALED_FILES.at(sealed.files, table)
            yield SEALED_BYTES.at(sealed.bytes, table)
            yield SEAL_FAILURES.at(sealed.failed, table)
            yield JOURNAL_UNDELETED.at(sealed.undeleted, table)

    @staticmethod
    def _compacted(total: MaintenanceReport) -> Iterator[Sample]:
        yield COMPACTED_ROWS.at(total.compacted.rows)
        yield COMPACTED_FILES.at(total.compacted.files)
        yield COMPACTED_BYTES.at(total.compacted.bytes)
        yield COMPACTION_FAILURES.at(total.compacted.failed)
        yield HOURS_INCOMPLETE.at(total.compacted.incomplete)
