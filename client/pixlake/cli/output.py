"""Output of verbs: JSON for programs, tables for people, no control characters."""

import json
import shutil
import sys
from collections.abc import Sequence

# Width without a terminal; so large that no line is cut or wrapped.
_NO_TERMINAL = 100_000
_GAP = 2
_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000


def emit(document: object, *, flush: bool = False) -> None:
    """Print one JSON document on one line, in plain ASCII."""
    print(json.dumps(document, separators=(", ", ": "), allow_nan=False), flush=flush)


def note(text: str) -> None:
    """Print a remark for people to stderr; stdout has only the result."""
    if sys.stderr is not None:
        sys.stderr.write(f"{clean(text)}\n")


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Print aligned columns; a narrow terminal cuts the last column."""
    from rich.console import Console  # noqa: PLC0415  # slow; not for --help
    from rich.table import Table  # noqa: PLC0415

    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    widths = _widths(columns, rows)
    for place, column in enumerate(columns):
        grid.add_column(
            clean(column),
            justify="right" if column in right else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=None if place == len(columns) - 1 else widths[place],
        )
    for row in rows:
        grid.add_row(*(clean(cell) for cell in row))
    console = Console(markup=False, highlight=False, width=_terminal_width() or _NO_TERMINAL)
    with console.capture() as captured:
        console.print(grid)
    for line in captured.get().splitlines():
        print(line.rstrip())


def table_or_list(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Print a table, or one line for each value on a terminal that is too narrow for the table."""
    width = sum(_widths(columns, rows)) + _GAP * len(columns)
    terminal = _terminal_width()
    if terminal is None or width <= terminal:
        table(columns, rows, right=right)
        return
    name_width = max(len(clean(column)) for column in columns)
    for n, row in enumerate(rows, 1):
        print(f"-- {n} --")
        for column, cell in zip(columns, row, strict=True):
            print(f"{clean(column):{name_width}}  {clean(cell)}")


def _terminal_width() -> int | None:
    """Return the width of the terminal on stdout; None if stdout is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    from rich.cells import cell_len  # noqa: PLC0415  # slow; not for --help

    return [
        max(cell_len(clean(text)) for text in (column, *(row[place] for row in rows)))
        for place, column in enumerate(columns)
    ]


def clean(text: str) -> str:
    """Make untrusted text safe for a terminal: replaces control characters and lone surrogates."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def size(count: float) -> str:
    """Format a number of bytes for people: 72.1 MB."""
    amount, unit = float(count), 0
    while amount >= _STEP and unit < len(_UNITS) - 1:
        amount, unit = amount / _STEP, unit + 1
    return f"{amount:.0f} B" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def number(value: float | str) -> str:
    """Format a number for people: whole numbers without `.0`."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
