"""`pixlake sweep`: delete what is past its retention, where the store does not."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from pixlake.cli import output
from pixlake.cli.extras import extra
from pixlake.cli.failures import REFUSED
from pixlake.cli.options import Home, Json

if TYPE_CHECKING:
    from lake.retention import SweepReport
    from lake.settings import LakeSettings


def sweep(*, home: Home = None, json: Json = False) -> None:
    """Delete what is past its retention, and what crashes left.

    Images are hidden to the second after PIXLAKE_RETENTION_DAYS, and deleted here once
    PIXLAKE_SWEEP_MARGIN_SECONDS more have passed. Works on the store itself, by
    PIXLAKE_STORE_URL and PIXLAKE_S3_*, or in PIXLAKE_HOME; safe beside a running Pixlake, which
    sweeps by itself.
    """
    with extra("server"):
        from lake.settings import LakeSettings  # noqa: PLC0415  # in an extra
        from pixlake.cli.settings import load_existing  # noqa: PLC0415

    settings = load_existing(LakeSettings, home, "store_url")
    report = asyncio.run(_sweep(settings))
    if json:
        output.emit(asdict(report))
    else:
        print(
            f"deleted {report.images} images with {report.image_objects} objects, "
            f"{report.orphans} orphans, {report.lake} lake files, {report.journal} journal "
            f"objects, {report.rejections} rejections, {report.leftovers} leftovers"
        )
    if report.failed:
        output.note(f"pixlake: {report.failed} could not be told; the next sweep tries again")
        raise typer.Exit(REFUSED)


async def _sweep(settings: "LakeSettings") -> "SweepReport":
    from lake.lake import Lake  # noqa: PLC0415  # in an extra
    from lake.retention import Sweeper  # noqa: PLC0415

    lake = await Lake.open(settings)
    return await Sweeper.of(lake.store, lake.clock, settings).sweep()
