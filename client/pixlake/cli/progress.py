"""Progress on stderr: a bar on a terminal, otherwise one line a minute."""

import sys
import time
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

from pixlake.cli import output

_LINE_SECONDS = 60.0


@contextmanager
def bar(verb: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a callback for each finished item; its argument is the number of bad items."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield _lines(verb, total)
        return
    progress = Progress(
        TextColumn(verb),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[bad]}"),
        console=Console(stderr=True),
        transient=True,
    )
    task = progress.add_task(verb, total=total, bad="")

    def advance(bad: int) -> None:
        progress.update(task, advance=1, bad=f"{bad} refused or failed" if bad else "")

    with progress:
        yield advance


def _lines(verb: str, total: int) -> Callable[[int], None]:
    done, printed_at = 0, time.monotonic()

    def advance(bad: int) -> None:
        nonlocal done, printed_at
        done += 1
        if time.monotonic() - printed_at >= _LINE_SECONDS:
            printed_at = time.monotonic()
            output.note(f"{verb}: {done} of {total}" + (f", {bad} bad" if bad else ""))

    return advance
