"""Results of sealing: of one window, and of a pass over many."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain


@dataclass(frozen=True, slots=True)
class PassReport:
    """Result of a pass: windows processed, rows and files written, windows that failed.

    `left`: windows for which the pass had no time. `unreadable`: journal objects that do not parse.
    `unfinished`: erasures that could not be finished. `undeleted`: journal objects whose rows are
    sealed, and that can't be deleted. `failed_windows`, `undeleted_windows` and
    `unfinished_images` name each of them once.
    """

    windows: int = 0
    rows: int = 0
    files: int = 0
    failed: int = 0
    left: int = 0
    unreadable: int = 0
    bytes: int = 0
    failed_windows: tuple[str, ...] = ()
    unfinished: int = 0
    undeleted: int = 0
    undeleted_windows: tuple[str, ...] = ()
    unfinished_images: tuple[str, ...] = ()

    def __add__(self, later: "PassReport") -> "PassReport":
        """Sum of two passes; `left` is that of the later pass."""
        return PassReport(
            windows=self.windows + later.windows,
            rows=self.rows + later.rows,
            files=self.files + later.files,
            failed=self.failed + later.failed,
            left=later.left,
            unreadable=later.unreadable,
            bytes=self.bytes + later.bytes,
            failed_windows=once(self.failed_windows, later.failed_windows),
            unfinished=self.unfinished + later.unfinished,
            undeleted=self.undeleted + later.undeleted,
            undeleted_windows=once(self.undeleted_windows, later.undeleted_windows),
            unfinished_images=once(self.unfinished_images, later.unfinished_images),
        )


@dataclass(slots=True)
class Sealed:
    """Result of sealing one window; its counts grow with each batch."""

    rows: int = 0
    files: int = 0
    unreadable: int = 0
    bytes: int = 0
    unfinished: list[str] = field(default_factory=list)
    """images whose erasure failed, once for each try"""
    undeleted: int = 0
    failed: bool = False


def once(*names: Iterable[str]) -> tuple[str, ...]:
    """All names, each once: a process keeps the sum of all its passes."""
    return tuple(dict.fromkeys(chain.from_iterable(names)))
