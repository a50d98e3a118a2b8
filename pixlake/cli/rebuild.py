"""`pixlake rebuild`: the lake, made again from the records."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.extras import extra
from pixlake.cli.failures import REFUSED
from pixlake.cli.options import Home, Json

if TYPE_CHECKING:
    from lake.rebuild import RebuildReport
    from lake.settings import LakeSettings


def rebuild(
    *,
    everything: Annotated[
        bool, typer.Option("--everything", help="Write all rows anew, not only wrong ones.")
    ] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Make the lake again from the images' records.

    For files that are lost, broken or wrong, as `pixlake audit` names them. Works on the store
    itself, by PIXLAKE_STORE_URL and PIXLAKE_S3_*, or in PIXLAKE_HOME; safe beside a running
    Pixlake. With --everything the rows of a window are away for the moment of its rewriting.
    """
    with extra("server"):
        from lake.settings import LakeSettings  # noqa: PLC0415  # in an extra
        from pixlake.cli.settings import load_existing  # noqa: PLC0415

    settings = load_existing(LakeSettings, home, "store_url")
    report = asyncio.run(_rebuild(settings, everything=everything))
    if json:
        output.emit(asdict(report))
    else:
        print(
            f"{report.homes} windows: {report.kept} rows as they should be, {report.removed} "
            f"taken out, {report.added} put in, {report.files} files written anew"
        )
    if report.failed:
        output.note(f"pixlake: {report.failed} windows failed; run it again")
        raise typer.Exit(REFUSED)


async def _rebuild(settings: "LakeSettings", *, everything: bool) -> "RebuildReport":
    from lake.lake import Lake  # noqa: PLC0415  # in an extra
    from lake.rebuild import Rebuilder  # noqa: PLC0415

    lake = await Lake.open(settings)
    return await Rebuilder(lake, settings).run(everything=everything)
