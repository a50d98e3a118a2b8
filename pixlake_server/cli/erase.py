"""`pixlake erase`: erases images by id, from a list, or by a SQL predicate."""

import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED, UsageFault, code_of
from pixlake.cli.options import DryRun, Home, Json, Yes
from pixlake_server.cli.consent import ask

if TYPE_CHECKING:
    from lake.settings import LakeSettings
    from pixlake_server.cli.erasing import Faults, Name, Unfinished

_TENANT = "default"


def erase(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Image id, or TENANT/ID.", show_default=False),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="File with an id a line; - is stdin."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option("--where", metavar="SQL", help="Images whose rows fulfil this condition."),
    ] = None,
    tenant: Annotated[
        str, typer.Option("--tenant", help="Tenant of ids without TENANT/.")
    ] = _TENANT,
    dry_run: DryRun = False,
    yes: Yes = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Erase images: bytes and record at once, then the row.

    First looks up every image, prints the number of images, and asks.

    An erased image can't come back: the same upload or message is refused for the
    retention after the erasure. An entry without personal data stays in the store's audit log.
    Works on the store itself, by PIXLAKE_STORE_URL and PIXLAKE_S3_*, or in PIXLAKE_HOME. A repeated
    run is safe.
    """
    from lake.settings import LakeSettings  # noqa: PLC0415  # slow
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415

    if not ids and file is None and where is None:
        raise UsageFault("nothing to erase: give ids, --file or --where")
    named = [_name(word, tenant) for word in [*(ids or []), *_listed(file)]]
    settings = load_existing(LakeSettings, home, "store_url")
    named, missing, unfinished = asyncio.run(_look(settings, list(dict.fromkeys(named)), where))
    if dry_run:
        _report(named, missing, unfinished, json=json, dry_run=True)
    else:
        count = len(named) - len(missing)
        if count:
            ask(f"erase {count} images for good", yes=yes)
        failures, unsealed = asyncio.run(
            _erase(settings, [name for name in named if name not in missing])
        )
        missing |= failures
        unfinished |= unsealed
        _report(named, missing, unfinished, json=json, dry_run=False)
    if missing or unfinished:
        raise typer.Exit(REFUSED)


def _listed(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        text = sys.stdin.read() if file == Path("-") else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"{file} can't be read: {error}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _name(word: str, tenant: str) -> "Name":
    from lake import layout  # noqa: PLC0415  # slow

    given, slash, image_id = word.rpartition("/")
    name = (given if slash else tenant, image_id)
    if not layout.TENANT.fullmatch(name[0]) or not layout.IMAGE_ID.fullmatch(name[1]):
        raise UsageFault(f"{word!r} is not an id, nor TENANT/ID")
    return name


async def _look(
    settings: "LakeSettings", named: Sequence["Name"], where: str | None
) -> tuple[list["Name"], "Faults", "Unfinished"]:
    """Find all images, also by the predicate, and errors of images that can't be erased.

    Also returns what can't be read or lacks rows. Writes nothing.
    """
    from lake.read.views import Views  # noqa: PLC0415  # slow
    from lake.store.opening import open_store  # noqa: PLC0415
    from pixlake_server.cli.erasing import not_erasable, select  # noqa: PLC0415

    store, _ = await open_store(settings, make=False, prove=False)
    found = list(named)
    unfinished: Unfinished = {}
    if where is not None:
        selected, unfinished = await select(store, where, partial(Views.open, settings))
        found = list(dict.fromkeys(found + selected))
    return found, await not_erasable(store, found), unfinished


async def _erase(
    settings: "LakeSettings", named: Sequence["Name"]
) -> tuple["Faults", "Unfinished"]:
    from lake.lake import Lake  # noqa: PLC0415  # slow
    from pixlake_server.cli.erasing import erase_images  # noqa: PLC0415

    return await erase_images(await Lake.open(settings, make=False), named)


def _report(
    named: Sequence["Name"],
    failures: "Faults",
    unfinished: "Unfinished",
    *,
    json: bool,
    dry_run: bool,
) -> None:
    if json:
        images = [
            {"tenant": tenant, "image_id": image_id, "outcome": _outcome(failures, name, dry_run)}
            for name in named
            for tenant, image_id in [name]
        ]
        count = 0 if dry_run else len(named) - len(failures)
        rest = [{"name": name, "code": code} for name, code in unfinished.items()]
        output.emit(
            {"erased": count, "failed": len(failures), "images": images, "unfinished": rest}
        )
        return
    for (tenant, image_id), error in failures.items():
        output.note(f"{code_of(error)}: {tenant}/{image_id}: {error}")
    for name, code in unfinished.items():
        output.note(
            f"{code}: {name} may still hold rows or copies of these images; run the command again"
        )
    if dry_run:
        for tenant, image_id in (name for name in named if name not in failures):
            print(f"{tenant}/{image_id}")
    print(f"{'would erase' if dry_run else 'erased'} {len(named) - len(failures)} images")


def _outcome(failures: "Faults", name: "Name", dry_run: bool) -> str:
    if (error := failures.get(name)) is not None:
        return code_of(error) or "failed"
    return "found" if dry_run else "erased"
