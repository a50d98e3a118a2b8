"""`pixlake seal`: runs one pass of a sealer in this process."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED
from pixlake.cli.options import Home, Json

if TYPE_CHECKING:
    from lake.seal.maintenance import MaintenanceReport
    from lake.settings import LakeSettings


def seal(
    *,
    now: Annotated[bool, typer.Option("--now", help="Also seal windows that are open.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Make accepted rows visible to SQL.

    Moves rows from the journal into the lake's Parquet files, and compacts closed hours. Works on
    the store itself, by PIXLAKE_STORE_URL and PIXLAKE_S3_*, or in PIXLAKE_HOME. Any number of
    sealers may run at once, so this command is safe while Pixlake runs.
    """
    from lake.settings import LakeSettings  # noqa: PLC0415  # slow
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415

    settings = load_existing(LakeSettings, home, "store_url")
    report = asyncio.run(_pass(settings, now=now))
    rows = report.images.rows + report.rejections.rows
    files = report.images.files + report.rejections.files
    if json:
        output.emit(_shown(report))
    else:
        print(f"sealed {rows} rows into {files} files, {report.images.windows} windows seen")
        if report.compacted.files:
            print(f"compacted {report.compacted.rows} rows into {report.compacted.files} files")
    if report.unreadable:
        output.note(f"pixlake: {report.unreadable} journal objects do not parse and were kept")
    if report.failed:
        output.note(f"pixlake: {report.failed} windows or hours failed; the next pass tries again")
        raise typer.Exit(REFUSED)


def _shown(report: "MaintenanceReport") -> dict[str, object]:
    """Convert to JSON values, with the counts of images at the top level."""
    parts = asdict(report)
    images: dict[str, object] = parts.pop("images")
    return images | parts


async def _pass(settings: "LakeSettings", *, now: bool) -> "MaintenanceReport":
    from lake.lake import Lake  # noqa: PLC0415  # slow

    lake = await Lake.open(settings, make=False)
    report = await lake.maintenance.run_pass(now=now)
    while report.left:  # a pass stops after a minute, so that new windows come first
        report += await lake.maintenance.run_pass(now=now)
    return report
