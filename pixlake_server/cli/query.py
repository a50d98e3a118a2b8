"""`pixlake query`: SQL over the lake, by DuckDB in this process."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import UsageFault
from pixlake.cli.options import Home, Json


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def query(
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="One statement; - reads it from stdin.")
    ],
    *,
    form: Annotated[Format, typer.Option("--format", "-f", help="How to print.")] = Format.TABLE,
    home: Home = None,
    json: Json = False,
) -> None:
    """Ask the lake in SQL.

    The view `images` has one row an image. Reads the store itself, by PIXLAKE_STORE_URL and
    PIXLAKE_S3_*, or in PIXLAKE_HOME; no server needs to run. A row comes within two minutes of
    its image; `pixlake seal --now` is quicker.
    """
    from lake.settings import LakeSettings  # noqa: PLC0415  # slow
    from lake.views import Views  # noqa: PLC0415
    from pixlake_server.cli import rows  # noqa: PLC0415
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415

    statement = sys.stdin.read() if sql == "-" else sql
    if not statement.strip():
        raise UsageFault("there is no statement")
    lake = Views.open(load_existing(LakeSettings, home, "store_url"))
    result = lake.query(statement)
    if json or form is Format.JSON:
        rows.write_json(result)
    elif form is Format.CSV:
        rows.write_csv(result)
    else:
        rows.write_table(result)
        if lake.query("SELECT 1 FROM images LIMIT 1").num_rows == 0:
            output.note("the lake has no rows yet; `pixlake seal --now` brings what was accepted")
