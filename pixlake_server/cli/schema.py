"""`pixlake schema`: prints the columns of a table with type, unit and meaning."""

from typing import Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import UsageFault, near
from pixlake.cli.options import Json

_SHOWN = ("name", "type", "null", "unit", "description")


def schema(
    table: Annotated[
        str, typer.Argument(metavar="[TABLE]", help="images, rejections or usage.")
    ] = "images",
    *,
    json: Json = False,
) -> None:
    """Print the columns of a table, with type, unit and meaning.

    Reads no store. Types are those of Glue; --json adds those of Athena and Arrow, the origin of
    each value, and the formula of each measure.
    """
    from lake.tables.tables import SQL_TABLES  # noqa: PLC0415  # slow

    known = {each.name: each for each in SQL_TABLES}
    if table not in known:
        raise UsageFault(
            f"there is no table {table!r}, only {', '.join(known)}{near(table, known)}"
        )
    columns = [column.as_dict() for column in known[table].described]
    if json:
        output.emit(columns)
    else:
        output.table(_SHOWN, [[_text(column[name]) for name in _SHOWN] for column in columns])


def _text(value: str | bool | None) -> str:
    return value if isinstance(value, str) else "yes" if value else ""
