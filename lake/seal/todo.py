"""Work of one pass of a sealer: its windows, and what became of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from lake import layout
from lake.errors import UnreadableObject
from lake.seal.pass_report import PassReport, Sealed, once
from lake.seal.segments import Chain, chain_of
from lake.store.object_meta import Stored
from lake.tables.tables import Table


@dataclass(slots=True)
class Todo:
    """Windows of a pass, the listed files of their hours, and the results of the first windows.

    `unlisted`: windows of the hours that can't be listed.
    """

    table: Table
    windows: Sequence[datetime]
    files: Mapping[datetime, Sequence[Stored]]
    unlisted: Sequence[datetime]
    sealed: list[Sealed] = field(default_factory=list)

    def chain(self, window_start: datetime) -> Chain | None:
        """Chain of a window by the listing of the pass; None if that lacks one of its files."""
        files = self.files[layout.hour_of(window_start)]
        with suppress(UnreadableObject):
            return chain_of(window_start, files, self.table)
        return None  # listed again: pages of a listing are of different moments

    def unsealed(self) -> Iterator[datetime]:
        """Yield the windows that failed, and those without a file for which no time was left.

        A window with a file is left out: its journal may hold only tombstones, which stay for an
        hour.
        """
        yield from self.unlisted
        for number, window_start in enumerate(self.windows):
            if number < len(self.sealed):
                if self.sealed[number].failed:
                    yield window_start
            elif (chain := self.chain(window_start)) and not chain.files:
                yield window_start

    def report(self) -> PassReport:
        """Sum up the pass."""
        windows, done, unlisted = self.windows, self.sealed, self.unlisted
        failed = _names(windows, (sealed.failed for sealed in done))
        return PassReport(
            windows=len(done) + len(unlisted),
            rows=sum(sealed.rows for sealed in done),
            files=sum(sealed.files for sealed in done),
            failed=sum(sealed.failed for sealed in done) + len(unlisted),
            left=len(windows) - len(done),
            unreadable=sum(sealed.unreadable for sealed in done),
            bytes=sum(sealed.bytes for sealed in done),
            failed_windows=(*failed, *map(layout.window_name, unlisted)),
            unfinished=sum(len(sealed.unfinished) for sealed in done),
            undeleted=sum(sealed.undeleted for sealed in done),
            undeleted_windows=_names(windows, (sealed.undeleted > 0 for sealed in done)),
            unfinished_images=once(*(sealed.unfinished for sealed in done)),
        )


def _names(windows: Sequence[datetime], chosen: Iterable[bool]) -> tuple[str, ...]:
    """Names of the chosen windows; workers begin windows in their order, as their results are."""
    pairs = zip(windows, chosen, strict=False)
    return tuple(layout.window_name(window) for window, is_chosen in pairs if is_chosen)
