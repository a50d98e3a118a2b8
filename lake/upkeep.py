"""What a sealer process does all day: seal each table's journal, then let the copies follow."""

from dataclasses import dataclass

from lake.compaction import CompactionReport, Compactor
from lake.sealer import PassReport, Sealer
from lake.tables import IMAGE_TABLE, Table


@dataclass(frozen=True, slots=True)
class UpkeepReport:
    """What one pass did, table by table."""

    images: PassReport
    rejections: PassReport
    compacted: CompactionReport

    @property
    def left(self) -> int:
        """Homes, and hours (0 or 1), that it had no time for."""
        return self.images.left + self.rejections.left + self.compacted.left

    @property
    def failed(self) -> int:
        """Homes and hours that failed; the next pass tries again."""
        return self.images.failed + self.rejections.failed + self.compacted.failed

    @property
    def unreadable(self) -> int:
        """Journal objects that do not parse, and stay."""
        return self.images.unreadable + self.rejections.unreadable

    def __add__(self, later: "UpkeepReport") -> "UpkeepReport":
        """Both passes as one."""
        return UpkeepReport(
            self.images + later.images,
            self.rejections + later.rejections,
            self.compacted + later.compacted,
        )


@dataclass(frozen=True, slots=True)
class Keeper:
    """The sealer and the compactor of one table."""

    sealer: Sealer
    compactor: Compactor

    async def run_pass(self, *, now: bool) -> tuple[PassReport, CompactionReport]:
        """Seal, then compact hours that are closed by now."""
        sealed = await self.sealer.run_pass(now=now)
        return sealed, await self.compactor.run_pass()


class Upkeep:
    """Passes over both tables; any number of processes may do so at once."""

    def __init__(self, images: Keeper, rejections: Keeper) -> None:
        self._images = images
        self._rejections = rejections

    def of(self, table: Table) -> Keeper:
        """The sealer and the compactor of a table."""
        return self._images if table is IMAGE_TABLE else self._rejections

    async def run_pass(self, *, now: bool = False) -> UpkeepReport:
        """Seal what is closed (`now`: open windows, too), and compact hours that are.

        Raises StoreUnavailable when the store can't be listed.
        """
        images, copied = await self._images.run_pass(now=now)
        rejections, also_copied = await self._rejections.run_pass(now=now)
        compacted = copied + also_copied
        compacted.left |= copied.left
        return UpkeepReport(images, rejections, compacted)
