"""`pixlake rebuild`: rebuilds the lake's tables from the records."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED, UsageFault
from pixlake.cli.options import DryRun, Home, Json, Yes
from pixlake_server.cli.consent import ask

if TYPE_CHECKING:
    from lake.lake import Lake
    from lake.rebuild.cutover import Cutover, CutoverReport
    from lake.rebuild.in_place import RebuildReport
    from lake.settings import LakeSettings


def rebuild(
    *,
    everything: Annotated[
        bool, typer.Option("--everything", help="Rewrite all rows, not only wrong rows.")
    ] = False,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Build a new lake next to the current lake.")
    ] = False,
    cutover: Annotated[
        bool, typer.Option("--cutover", help="Put the new lake in use; takes half an hour more.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Rebuild the lake's tables from the records.

    The records are those of images and rejections. Prints the changes and asks first.

    Repairs files that are lost, broken or wrong, as `pixlake audit` reports them. Works on the
    store itself, by PIXLAKE_STORE_URL and PIXLAKE_S3_*, or in PIXLAKE_HOME. Safe while Pixlake
    runs. With --everything the rows of a window are missing while that window is rewritten. With
    --shadow the current files do not change: all files are written anew to lake/rebuilt and
    compared with the records. --cutover then stops all sealers, waits until none can still write,
    and puts the new lake in place.
    """
    from lake.settings import LakeSettings  # noqa: PLC0415  # slow
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415

    if everything and (shadow or cutover):
        raise UsageFault("--everything rewrites in place; give it without --shadow and --cutover")
    settings = load_existing(LakeSettings, home, "store_url")
    if shadow or cutover:
        if dry_run:
            raise UsageFault(
                "--dry-run does not combine with --shadow or --cutover; --shadow alone changes no "
                "file that is read"
            )
        if cutover:
            ask("replace the current lake by the new lake", yes=yes)
        asyncio.run(_anew(settings, shadow=shadow, cutover=cutover, json=json))
        return
    _in_place(settings, everything=everything, dry_run=dry_run, yes=yes, json=json)


def _in_place(
    settings: "LakeSettings", *, everything: bool, dry_run: bool, yes: bool, json: bool
) -> None:
    report = asyncio.run(_rebuild(settings, everything=everything, dry_run=True))
    if not dry_run:
        if report.files or report.added:
            if not yes:
                output.note(_text(report, "to do: "))
            ask("rewrite these files", yes=yes)
        report = asyncio.run(_rebuild(settings, everything=everything, dry_run=False))
    if json:
        output.emit(asdict(report) | {"dry_run": dry_run})
    else:
        print(_text(report, "to do: " if dry_run else ""))
    for key in report.skipped:
        output.note(f"pixlake: skipped {key}: this record does not give a valid row")
    if report.failed:
        output.note(f"pixlake: {report.failed} windows failed; run it again")
    if report.failed or report.skipped:
        raise typer.Exit(REFUSED)


def _text(report: "RebuildReport", begin: str) -> str:
    return (
        f"{begin}{report.windows} windows: {report.kept} rows correct, {report.removed} "
        f"removed, {report.added} added, {report.files} files rewritten"
    )


async def _rebuild(settings: "LakeSettings", *, everything: bool, dry_run: bool) -> "RebuildReport":
    from lake.lake import Lake  # noqa: PLC0415  # slow
    from lake.rebuild.in_place import Rebuilder  # noqa: PLC0415

    lake = await Lake.open(settings, make=False, prove=not dry_run)
    return await Rebuilder(lake, settings).run(everything=everything, dry_run=dry_run)


async def _anew(settings: "LakeSettings", *, shadow: bool, cutover: bool, json: bool) -> None:
    from lake.lake import Lake  # noqa: PLC0415
    from lake.rebuild.cutover import Cutover  # noqa: PLC0415
    from lake.rebuild.shadow_lake import build  # noqa: PLC0415  # slow

    lake = await Lake.open(settings, make=False)
    counts: dict[str, int] = {}
    if shadow:
        built = await build(lake, settings)
        counts |= asdict(built)
        output.note(
            f"{built.rows} rows in {built.files} files of {built.windows} windows, verified"
        )
    if cutover:
        counts |= asdict(await _cut_over(Cutover(lake, settings), lake))
        output.note(
            f"switched: {counts['files']} files written, {counts['journaled']} rows journaled"
        )
    if json:
        output.emit(counts)


async def _cut_over(cutover: "Cutover", lake: "Lake") -> "CutoverReport":
    begins = await cutover.hold()
    output.note(f"sealers are stopped; the cutover begins at {begins:%H:%M:%S} UTC")
    try:
        while (left := (begins - lake.clock.now()).total_seconds()) > 0:
            await asyncio.sleep(min(left, 60))
            await lake.clock.fresh()
    except BaseException:
        await cutover.release()
        raise
    # If the cutover fails, one of its writes may still take effect. So sealers stay stopped
    # until the cutover is run again, or until the hold ends.
    return await cutover.run()
