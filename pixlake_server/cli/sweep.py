"""`pixlake sweep`: deletes expired data, for stores without lifecycle rules."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED
from pixlake.cli.options import DryRun, Home, Json, Yes
from pixlake_server.cli.consent import ask

_INVALIDATE_SECONDS = 30.0

if TYPE_CHECKING:
    from lake.retention.sweep_report import SweepReport
    from lake.settings import LakeSettings


def sweep(
    *,
    accept_time: Annotated[
        bool, typer.Option("--accept-time", help="The store's clock is right, though it jumped.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Delete expired data, and data that crashes have left.

    An image is hidden once the store's retention has passed, and deleted by a sweep after the
    store's margin; `pixlake store show` prints both. Prints what would be deleted and asks first.
    Works on the store itself, by PIXLAKE_STORE_URL and PIXLAKE_S3_*, or in PIXLAKE_HOME. Safe while
    Pixlake runs; a running Pixlake also sweeps by itself.
    """
    from lake.settings import LakeSettings  # noqa: PLC0415  # slow
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415

    settings = load_existing(LakeSettings, home, "store_url")
    report = asyncio.run(_sweep(settings, dry_run=True, accept_time=accept_time))
    # Without anything to delete, a confirmed time must be noted nevertheless.
    due = accept_time or any(count for name, count in asdict(report).items() if name != "failed")
    if due and not dry_run:
        if not yes:
            output.note(_text(report, "to delete:"))
            ask("delete this data for ever", yes=yes)
        report = asyncio.run(_sweep(settings, dry_run=False, accept_time=accept_time))
    if json:
        output.emit(asdict(report) | {"dry_run": dry_run})
    else:
        print(_text(report, "would delete" if dry_run else "deleted"))
    if report.failed:
        output.note(f"pixlake: {report.failed} could not be checked; the next sweep tries again")
        raise typer.Exit(REFUSED)


def _text(report: "SweepReport", verb: str) -> str:
    return (
        f"{verb} {report.images} images with {report.image_objects} objects, "
        f"{report.orphans} orphans, {report.lake} lake files, {report.journal} journal "
        f"objects, {report.rejections} rejections, {report.leftovers} leftovers"
    )


async def _sweep(settings: "LakeSettings", *, dry_run: bool, accept_time: bool) -> "SweepReport":
    from lake.lake import Lake  # noqa: PLC0415  # slow
    from lake.retention.sweeper import Sweeper  # noqa: PLC0415

    lake = await Lake.open(settings, make=False, prove=not dry_run)
    sweeper = Sweeper(
        lake.store,
        lake.clock,
        dry_run=dry_run,
        accept_time=accept_time,
        invalidations=lake.invalidations,
    )
    report = await sweeper.sweep()
    if lake.invalidations is not None and await lake.invalidations.send_all(_INVALIDATE_SECONDS):
        output.note("CloudFront did not accept the invalidation; it serves copies for an hour")
    return report
