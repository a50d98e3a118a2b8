"""Result of a compaction pass."""

from dataclasses import dataclass

from lake.seal.pass_report import once


@dataclass(slots=True)
class CompactionReport:
    """Result of a pass: hours checked, files and rows written, hours that failed.

    `left`: the pass ended before it had checked all hours. `incomplete`: hours that were compacted
    without the rows of a window that can't be sealed, or of a segment that does not parse.
    `failed_hours` and `incomplete_hours` name them.
    """

    hours: int = 0
    files: int = 0
    rows: int = 0
    failed: int = 0
    left: bool = False
    bytes: int = 0
    incomplete: int = 0
    failed_hours: tuple[str, ...] = ()
    incomplete_hours: tuple[str, ...] = ()

    def __add__(self, later: "CompactionReport") -> "CompactionReport":
        """Sum of two passes; `left` is that of the later pass."""
        return CompactionReport(
            self.hours + later.hours,
            self.files + later.files,
            self.rows + later.rows,
            self.failed + later.failed,
            later.left,
            self.bytes + later.bytes,
            self.incomplete + later.incomplete,
            once(self.failed_hours, later.failed_hours),
            once(self.incomplete_hours, later.incomplete_hours),
        )
