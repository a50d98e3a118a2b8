"""`pixlake lifecycle`: the rules by which S3 itself deletes what is past its retention."""

from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.extras import extra
from pixlake.cli.failures import REFUSED
from pixlake.cli.options import Home, Json

if TYPE_CHECKING:
    from lake.lifecycle import Difference

lifecycle = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Let S3 delete what is past its retention.\n\nIn the bucket of PIXLAKE_STORE_URL.",
)


@lifecycle.command()
def apply(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare; exit code 1 on a difference.")
    ] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Let S3 delete what is past its retention.

    Writes rules for images, lake, journal, unfinished multipart uploads and old versions to the
    bucket in PIXLAKE_STORE_URL; days by PIXLAKE_RETENTION_DAYS. Other rules stay.
    """
    with extra("server"):
        from lake.lifecycle import Lifecycle  # noqa: PLC0415  # in an extra
        from lake.settings import LakeSettings  # noqa: PLC0415
        from pixlake.cli.settings import load_existing  # noqa: PLC0415

    rules = Lifecycle(load_existing(LakeSettings, home, "store_url"))
    found = rules.check() if check else rules.apply()
    # What others' rules delete before time is not ours to change.
    left = found if check else [one for one in found if one.wanted is None]
    if json:
        output.emit({"ok": not left, "differences": [_plain(one) for one in found]})
    else:
        if found:
            output.table(("rule", "found"), [(one.rule, one.about) for one in found])
        else:
            print("the bucket has every rule as it should be")
        if found and not check:
            print(f"{len(found) - len(left)} rules written")
    if left:
        raise typer.Exit(REFUSED)


def _plain(difference: "Difference") -> dict[str, object]:
    return {
        "rule": difference.rule,
        "about": difference.about,
        "wanted": difference.wanted,
        "found": difference.found,
    }
