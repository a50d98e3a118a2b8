"""Maintenance passes of a sealer process: seal each table's journal, then compact closed hours."""

from dataclasses import dataclass

from lake.errors import LakeError
from lake.logs import logger
from lake.seal.compaction import Compactor
from lake.seal.compaction_report import CompactionReport
from lake.seal.pass_report import PassReport
from lake.seal.sealer import Sealer
from lake.tables.tables import IMAGE_TABLE, Table

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """Result of one pass, table by table."""

    images: PassReport
    rejections: PassReport
    compacted: CompactionReport

    @property
    def left(self) -> int:
        """Number of windows for which there was no time; one more if there was none for an hour."""
        return self.images.left + self.rejections.left + self.compacted.left

    @property
    def failed(self) -> int:
        """Number of windows, hours, erasures and deletions that failed, to be tried again."""
        windows = self.images.failed + self.rejections.failed
        undeleted = self.images.undeleted + self.rejections.undeleted
        return windows + undeleted + self.images.unfinished + self.compacted.failed

    @property
    def unreadable(self) -> int:
        """Number of journal objects that do not parse; they stay in the journal."""
        return self.images.unreadable + self.rejections.unreadable

    def __add__(self, later: "MaintenanceReport") -> "MaintenanceReport":
        """Sum of two passes."""
        return MaintenanceReport(
            self.images + later.images,
            self.rejections + later.rejections,
            self.compacted + later.compacted,
        )


@dataclass(frozen=True, slots=True)
class TableMaintenance:
    """The sealer and the compactor of one table."""

    table: Table
    sealer: Sealer
    compactor: Compactor

    async def run_pass(self, *, now: bool) -> tuple[PassReport, CompactionReport]:
        """Seal closed windows, then compact closed hours.

        Compaction that can't begin is logged and counts as failed. Raises StoreUnavailable if the
        journal can't be listed.
        """
        sealed = await self.sealer.run_pass(now=now)
        try:
            return sealed, await self.compactor.run_pass(self.sealer.tries.may_seal)
        except LakeError:
            log.exception("compaction failed", table=self.table.name)
            failed_hours = (f"{self.table.name} of any time",)
            return sealed, CompactionReport(failed=1, failed_hours=failed_hours)


class Maintenance:
    """Runs passes over both tables; any number of processes may run passes at once."""

    def __init__(self, images: TableMaintenance, rejections: TableMaintenance) -> None:
        self._images = images
        self._rejections = rejections

    def of(self, table: Table) -> TableMaintenance:
        """Return the sealer and the compactor of a table."""
        return self._images if table is IMAGE_TABLE else self._rejections

    async def run_pass(self, *, now: bool = False) -> MaintenanceReport:
        """Seal closed windows (`now`: also open windows), then compact closed hours.

        Raises StoreUnavailable if a journal can't be listed.
        """
        try:
            images, copied = await self._images.run_pass(now=now)
        except Exception:
            # A failure of images must not stop rejections.
            await self._rejections.run_pass(now=now)
            raise
        rejections, also_copied = await self._rejections.run_pass(now=now)
        compacted = copied + also_copied
        compacted.left |= copied.left
        return MaintenanceReport(images, rejections, compacted)
