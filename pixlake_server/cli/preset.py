"""`pixlake preset`: stores, shows and compares presets, directly in the store."""

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from pixlake.cli import output
from pixlake.cli.failures import REFUSED, UsageFault
from pixlake.cli.files import read_file
from pixlake.cli.options import Home, Json, Yes
from pixlake_server.cli.accounts_access import open_accounts, operator
from pixlake_server.cli.consent import ask

if TYPE_CHECKING:
    from processors.preset import Preset
    from processors.preset_registry import PresetRegistry, Put

T = TypeVar("T")

preset = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Store, read and compare presets.\n\nWorks on the store itself, by PIXLAKE_STORE_URL and "
    "PIXLAKE_S3_*, or in PIXLAKE_HOME. Built-in presets are part of the code.",
)
Named = Annotated[
    str, typer.Argument(metavar="NAME[@VERSION]", help="Default version: the newest.")
]
_SIDE = "NAME[@VERSION], or a file that ends in .json."
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", help="Presets as this tenant uses them; default: only shared ones."),
]


@preset.command()
def put(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON, as `get` prints it.")],
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="Default: `name` in the file, else its file name.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Owner; default: all tenants share the preset.")
    ] = None,
    yes: Yes = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Store the next version of a preset, unless it is equal to the newest version.

    First tries the preset on a small image, and asks before it replaces another version. A stored
    version never changes. Uploads without a version use the new version within seconds
    (PIXLAKE_PRESET_CACHE_SECONDS).
    """
    data = read_file(file)
    owner = _checked(tenant)
    done = _run(home, lambda presets: _put(presets, data, name, file, home, tenant=owner, yes=yes))
    stored = f"{done.preset.name}@{done.preset.version}"
    if done.created:
        _note(home, done.preset)
    if json:
        output.emit(
            {"name": done.preset.name, "version": done.preset.version, "created": done.created}
        )
    else:
        print(f"stored {stored}" if done.created else f"{stored} is equal: nothing stored")


@preset.command()
def get(name: Named, *, tenant: Tenant = None, home: Home = None, json: Json = False) -> None:
    """Print a preset as JSON, in the format of `put`."""
    from processors.preset_registry import as_json  # noqa: PLC0415  # slow

    user = _checked(tenant)
    found = _run(home, lambda presets: _find(presets, name, user))
    if json:
        output.emit(found.model_dump(mode="json", exclude_none=True))
    else:
        print(as_json(found))


@preset.command("ls")
def ls(*, tenant: Tenant = None, home: Home = None, json: Json = False) -> None:
    """List presets with their newest versions and owners."""
    user = _checked(tenant)
    newest = _run(home, lambda presets: presets.newest(user))
    from processors.preset import BUILTIN  # noqa: PLC0415  # slow

    if json:
        entries = [{**asdict(each), "built_in": each.name in BUILTIN} for each in newest]
        output.emit({"presets": entries})
        return
    rows = [
        (
            each.name,
            str(each.version),
            "built in" if each.name in BUILTIN else each.tenant or "shared",
        )
        for each in newest
    ]
    output.table(("name", "version", "owner"), rows, right=("version",))


@preset.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help=_SIDE)],
    second: Annotated[str, typer.Argument(metavar="B", help=_SIDE)],
    *,
    tenant: Tenant = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Compare two presets; exit code 1 if their renditions differ."""
    user = _checked(tenant)

    async def both(presets: "PresetRegistry") -> tuple["Preset", "Preset"]:
        return await _side(presets, first, user), await _side(presets, second, user)

    old, new = _run(home, both)
    lines = [] if old.renditions == new.renditions else _lines(old, new, first, second)
    if json:
        output.emit({"equal": not lines, "diff": lines})
    elif lines:
        print("\n".join(lines))
    else:
        print("both make the same renditions")
    if lines:
        raise typer.Exit(REFUSED)


def _lines(old: "Preset", new: "Preset", first: str, second: str) -> list[str]:
    from processors.preset_registry import as_json  # noqa: PLC0415  # slow

    before, after = as_json(old).splitlines(), as_json(new).splitlines()
    return list(difflib.unified_diff(before, after, first, second, lineterm=""))


async def _put(
    presets: "PresetRegistry",
    data: bytes,
    name: str | None,
    file: Path,
    home: Path | None,
    *,
    tenant: str | None,
    yes: bool,
) -> "Put":
    from pixlake_server.cli.settings import load  # noqa: PLC0415  # slow
    from processors.preset_check import try_out  # noqa: PLC0415
    from processors.preset_registry import parse_preset  # noqa: PLC0415
    from processors.sandbox.sandbox import Sandbox  # noqa: PLC0415
    from processors.settings import ProcessorSettings  # noqa: PLC0415

    given = parse_preset(data, name).name
    chosen = file.stem if given == "unnamed" else given
    settings = load(ProcessorSettings, home).model_copy(
        update={"sandbox_children": 1, "sandbox_spares": 0}
    )
    sandbox = await Sandbox.start(settings)

    async def trial(wanted: "Preset") -> None:
        if wanted.version > 1:
            ask(f"make version {wanted.version} of {wanted.name} the newest", yes=yes)
        await try_out(sandbox, wanted)

    try:
        return await presets.put(chosen, data, operator()[:100], trial, tenant=tenant)
    finally:
        await sandbox.close()


def _note(home: Path | None, stored: "Preset") -> None:
    """Append the new version to the audit log, where the accounts can be reached."""
    from serve_app.accounts.errors import AccountsUnavailable  # noqa: PLC0415  # slow

    try:
        with open_accounts(home) as accounts:
            accounts.log.preset_stored(
                stored.name, stored.version, actor=operator(), tenant=stored.tenant
            )
    except (AccountsUnavailable, UsageFault):
        output.note("the audit log of the accounts lacks this version; the store has its author")


def _checked(tenant: str | None) -> str | None:
    """Return the name of a tenant; raises UsageFault for a text that is none."""
    from lake.layout import TENANT  # noqa: PLC0415  # slow

    if tenant is not None and TENANT.fullmatch(tenant) is None:
        raise UsageFault(f"--tenant {tenant!r} is no name of a tenant: use {TENANT.pattern}")
    return tenant


async def _find(presets: "PresetRegistry", name: str, tenant: str | None) -> "Preset":
    from processors.preset import PresetName  # noqa: PLC0415  # slow

    wanted = PresetName.parse(name)
    return await presets.find(wanted.used_by(tenant))


async def _side(presets: "PresetRegistry", text: str, tenant: str | None) -> "Preset":
    from processors.preset_registry import parse_preset  # noqa: PLC0415  # slow

    return (
        parse_preset(read_file(Path(text)))
        if text.endswith(".json")
        else await _find(presets, text, tenant)
    )


def _run(home: Path | None, work: Callable[["PresetRegistry"], Awaitable[T]]) -> T:
    """Open the store and run `work` with its presets."""
    from lake.lake import Lake  # noqa: PLC0415  # slow
    from lake.settings import LakeSettings  # noqa: PLC0415
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415
    from processors.preset_registry import PresetRegistry  # noqa: PLC0415

    settings = load_existing(LakeSettings, home, "store_url")

    async def run() -> T:
        lake = await Lake.open(settings, make=False)
        return await work(PresetRegistry(lake.presets))

    return asyncio.run(run())
