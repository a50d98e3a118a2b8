"""`pixlake audit`: checks from the store alone that every image is complete and has one row."""

import asyncio
import json as jsons
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED, UsageFault
from pixlake.cli.options import Home, Json

if TYPE_CHECKING:
    from lake.audit.audit import AuditReport
    from lake.settings import LakeSettings

_SAMPLE = 1000
# Number of printed faults of each kind; the report contains more.
_SHOWN = 5


def audit(
    *,
    start: Annotated[
        datetime | None, typer.Option("--from", help="Only images since this time, UTC.")
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", help="Only images before this time, UTC.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Hash the objects of every image.")] = False,
    sample: Annotated[
        int, typer.Option("--sample", min=0, help="Number of images to hash without --full.")
    ] = _SAMPLE,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write the report, as JSON.")
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Check that every image is complete and has exactly one row.

    Reads the store itself, by PIXLAKE_STORE_URL and PIXLAKE_S3_*, or in PIXLAKE_HOME. Safe while
    Pixlake runs. An image without a row is unfinished: the audit writes its row, and the next audit
    checks that the row is there.
    """
    from lake.settings import LakeSettings  # noqa: PLC0415  # slow
    from pixlake.client.files import written  # noqa: PLC0415  # slow; not for --help
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415

    settings = load_existing(LakeSettings, home, "store_url")
    span = (_utc(start), _utc(end))
    if start is not None and end is not None and start >= end:
        raise UsageFault(f"--from {start} is not before --to {end}: no image is between them")
    if report is not None:
        _check_report(report)
    done = asyncio.run(_audit(settings, span, full=full, sample=sample))
    if report is not None:
        with written(report) as file:
            file.write(f"{jsons.dumps(done.document(), indent=2)}\n".encode())
    if json:
        output.emit(done.document())
    else:
        _show(done)
    if not done.ok:
        raise typer.Exit(REFUSED)


def _check_report(report: Path) -> None:
    """Raise UsageFault if the report can't be written; called before the audit."""
    from pixlake.client.errors import NotAFile  # noqa: PLC0415  # slow; not for --help
    from pixlake.client.files import check_regular  # noqa: PLC0415

    if not report.parent.is_dir():
        raise UsageFault(f"there is no folder {report.parent} for the report")
    try:
        if report.exists():
            check_regular(report, report.stat().st_mode)
    except NotAFile as error:
        raise UsageFault(f"--report {error}") from None


async def _audit(
    settings: "LakeSettings",
    span: tuple[datetime | None, datetime | None],
    *,
    full: bool,
    sample: int,
) -> "AuditReport":
    from lake.audit.audit import Audit  # noqa: PLC0415  # slow
    from lake.audit.last_audit import keep  # noqa: PLC0415
    from lake.errors import StoreFull, StoreUnavailable  # noqa: PLC0415
    from lake.lake import Lake  # noqa: PLC0415

    lake = await Lake.open(settings, make=False)
    report = await Audit(lake.store, lake.clock, settings, full=full, sample=sample).run(*span)
    try:
        await keep(lake.store, report.summary())
    except (StoreUnavailable, StoreFull) as error:  # credentials that may only read, for example
        output.note(f"pixlake: metrics will not show this audit: {error}")
    return report


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=moment.tzinfo or UTC)


def _show(done: "AuditReport") -> None:
    from lake.audit.checks import CHECKS  # noqa: PLC0415  # slow

    seen, rows = done.seen, done.rows
    print(
        f"{seen.images} images with {seen.objects} objects, {seen.hashed} of the images hashed "
        f"({output.size(seen.hashed_bytes)}); {rows.rows} rows in {rows.files} files, "
        f"{rows.waiting} waiting; {seen.tombstones} erased; {done.too_young} too young to judge"
    )
    found = [(code, str(done.counts[code]), about) for code, about in CHECKS.items()]
    output.table(("check", "found", "what it looks for"), found, right=("found",))
    for code, faults in done.examples.items():
        for fault in faults[:_SHOWN]:
            output.note(f"{code}: {fault.subject}: {fault.detail}")
        if done.counts[code] > _SHOWN:
            output.note(f"{code}: {done.counts[code] - _SHOWN} more; --report FILE lists all")
    for what in done.unread:
        print(f"not checked: {what}")
    if done.ok and not seen.images:
        print("no images, so nothing was proven")
        return
    print("every promise is kept" if done.ok else "promises are broken")
