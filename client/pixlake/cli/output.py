"""What verbs print: JSON for programs, tables for people, and nothing that a terminal obeys."""

import json
import shutil
import sys
from collections.abc import Sequence

# Wide enough that nothing is cut or wrapped where no terminal sets a width.
_NO_TERMINAL = 100_000
_GAP = 2
_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000


def emit(document: object, *, flush: bool = False) -> None:
    """One JSON document on one line; plain ASCII, whatever file names hold."""
    print(json.dumps(document, separators=(", ", ": "), allow_nan=False), flush=flush)


def note(text: str) -> None:
    """A remark for the person at the keyboard, out of the way of the result."""
    if sys.stderr is not None:
        sys.stderr.write(f"{clean(text)}\n")


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Aligned columns; a terminal that is too narrow cuts the last one."""
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
    """A table, or one line a value where a terminal is too narrow for one."""
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
    """Columns of the terminal on stdout, None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    from rich.cells import cell_len  # noqa: PLC0415  # slow; not for --help

    return [
        max(cell_len(clean(text)) for text in (column, *(row[place] for row in rows)))
        for place, column in enumerate(columns)
    ]


def clean(text: str) -> str:
    """Text of strangers, fit for a terminal: no escape sequences, no lone surrogates."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def size(count: float) -> str:
    """Bytes for people: 72.1 MB."""
    amount, unit = float(count), 0
    while amount >= _STEP and unit < len(_UNITS) - 1:
        amount, unit = amount / _STEP, unit + 1
    return f"{amount:.0f} B" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def number(value: float | str) -> str:
    """A measure for people: no `.0` behind whole numbers."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
