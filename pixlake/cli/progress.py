"""A progress bar on stderr, where that is a terminal; silence where it is not."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def bar(verb: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields what to call for each finished item, with the number of bad ones so far."""
    progress = Progress(
        TextColumn(verb),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[bad]}"),
        console=Console(stderr=True),
        transient=True,
        disable=sys.stderr is None or not sys.stderr.isatty(),
    )
    task = progress.add_task(verb, total=total, bad="")

    def advance(bad: int) -> None:
        progress.update(task, advance=1, bad=f"{bad} refused or failed" if bad else "")

    with progress:
        yield advance
