"""`pixlake query`: runs SQL over the lake, by DuckDB in this process."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import UsageFault
from pixlake.cli.options import Home, Json


class Format(StrEnum):
    """Output format of rows."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def query(
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="One statement; - reads from standard input.")
    ],
    *,
    form: Annotated[Format, typer.Option("--format", "-f", help="Output format.")] = Format.TABLE,
    home: Home = None,
    json: Json = False,
) -> None:
    """Query the lake with SQL.

    The view `images` has one row for each image. Reads the store itself, by PIXLAKE_STORE_URL and
    PIXLAKE_S3_*, or in PIXLAKE_HOME; no server needs to run. The row of an image is visible within
    two minutes, or at once after `pixlake seal --now`.
    """
    from lake.read.views import Views  # noqa: PLC0415
    from lake.settings import LakeSettings  # noqa: PLC0415  # slow
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
            output.note("the lake has no rows yet; `pixlake seal --now` adds accepted images")
