"""`pixlake schema`: prints the columns of a table with type, unit, meaning and range of values."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixlake.cli import output
from pixlake.cli.failures import UsageFault, near
from pixlake.cli.options import Home, Json
from pixlake.cli.target import find_home

if TYPE_CHECKING:
    from lake.read.column_statistics import ColumnStatistics
    from lake.tables.tables import SqlTable

_SHOWN = ("name", "type", "null", "nulls", "minimum", "maximum", "unit", "description")
# A key of the store or a text of EXIF would make the table too wide.
_WIDEST = 24


def schema(
    table: Annotated[
        str, typer.Argument(metavar="[TABLE]", help="images, rejections or usage.")
    ] = "images",
    *,
    statistics: Annotated[
        bool,
        typer.Option(
            "--statistics/--no-statistics",
            help="Read null share, minimum and maximum from the footers of the lake's files.",
        ),
    ] = True,
    home: Home = None,
    json: Json = False,
) -> None:
    """Print the columns of a table, with type, unit, meaning, null share, minimum and maximum.

    Null share, minimum and maximum are those of the lake's Parquet files, if there is a lake; no
    row is read. Types are those of Glue; --json adds those of Athena and Arrow, the origin of each
    value, the formula of each measure, and the fields of lists.
    """
    from lake.tables.tables import SQL_TABLES  # noqa: PLC0415  # slow

    known = {each.name: each for each in SQL_TABLES}
    if table not in known:
        raise UsageFault(
            f"there is no table {table!r}, only {', '.join(known)}{near(table, known)}"
        )
    found = _statistics(known[table], home) if statistics else {}
    columns = [
        column.as_dict() | _range(found.get(column.name)) for column in known[table].described
    ]
    if json:
        output.emit(columns)
    else:
        output.table(_SHOWN, [_cells(column) for column in columns])


def _statistics(table: "SqlTable", home: Path | None) -> "dict[str, ColumnStatistics]":
    """Statistics of the lake's files; empty, with a note, if the lake can't be read."""
    from lake.errors import LakeError  # noqa: PLC0415  # slow
    from lake.read.column_statistics import column_statistics  # noqa: PLC0415
    from lake.settings import LakeSettings  # noqa: PLC0415
    from pixlake_server.cli.settings import load  # noqa: PLC0415

    settings = load(LakeSettings, home)
    if settings.store_url is None and not find_home(home).is_dir():
        return {}
    try:
        return column_statistics(settings, table)
    except LakeError as error:
        output.note(f"no null share, minimum and maximum: {error}")
        return {}


def _range(found: "ColumnStatistics | None") -> dict[str, Any]:
    from pixlake_server.cli.rows import plain  # noqa: PLC0415  # slow

    return {
        "null_share": found.null_share if found else None,
        "minimum": plain(found.minimum) if found else None,
        "maximum": plain(found.maximum) if found else None,
    }


def _cells(column: dict[str, Any]) -> list[str]:
    share = column["null_share"]
    shown = column | {"nulls": None if share is None else f"{share:.1%}"}
    return [_text(shown[name], name) for name in _SHOWN]


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if name == "null":
        return "yes" if value else ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    cut = name in {"minimum", "maximum"} and len(text) > _WIDEST
    return f"{text[: _WIDEST - 1]}…" if cut else text
