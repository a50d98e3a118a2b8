"""`pixlake lifecycle`: manages the rules by which S3 deletes expired data."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED
from pixlake.cli.options import Home, Json, Yes
from pixlake_server.cli.consent import ask

if TYPE_CHECKING:
    from lake.retention.lifecycle import Difference
    from lake.settings import LakeSettings

lifecycle = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Let S3 delete expired data.\n\nWorks on the bucket of PIXLAKE_STORE_URL.",
)


@lifecycle.command()
def apply(
    *,
    check: Annotated[
        bool,
        typer.Option("--check", "--dry-run", help="Only compare; exit code 1 for a difference."),
    ] = False,
    yes: Yes = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Let S3 delete expired data.

    Writes rules for images, lake, journal, unfinished multipart uploads and old versions to the
    bucket in PIXLAKE_STORE_URL. Days follow the store's retention; while the retention changes, the
    longer one. Other rules stay. Prints the differences and asks first.
    """
    from lake.retention.lifecycle import Lifecycle  # noqa: PLC0415  # slow
    from lake.settings import LakeSettings  # noqa: PLC0415
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415

    settings = load_existing(LakeSettings, home, "store_url")
    days = asyncio.run(_days(settings))
    rules = Lifecycle(settings, days)
    found = rules.check()
    if any(one.wanted for one in found) and not check:
        if not yes:
            output.note(f"S3 must delete images and rows after {days} days; rules that differ:")
            for one in found:
                output.note(f"  {one.rule}: {one.about}")
            ask("write these rules", yes=yes)
        found = rules.apply()
    # Rules of others that delete too early are only reported.
    left = found if check else [one for one in found if one.wanted is None]
    if json:
        output.emit({"ok": not left, "differences": [_plain(one) for one in found]})
    else:
        if found:
            output.table(("rule", "found"), [(one.rule, one.about) for one in found])
        else:
            print("every rule of the bucket is as it should be")
        if found and not check:
            print(f"{len(found) - len(left)} rules written")
    if left:
        raise typer.Exit(REFUSED)


async def _days(settings: "LakeSettings") -> int:
    from lake.store.opening import kept_settings  # noqa: PLC0415  # slow
    from lake.store.reading_time import store_time  # noqa: PLC0415

    kept = await kept_settings(settings)
    # A clock of this machine that is ahead would apply a shorter retention before it has begun.
    return kept.longest_days(store_time(settings))


def _plain(difference: "Difference") -> dict[str, object]:
    return {
        "rule": difference.rule,
        "about": difference.about,
        "wanted": difference.wanted,
        "found": difference.found,
    }
