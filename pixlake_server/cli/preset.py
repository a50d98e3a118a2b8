"""`pixlake preset`: stores, shows and compares presets, directly in the store."""

import asyncio
import difflib
from collections.abc import Awaitable, Callable
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


@preset.command()
def put(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON, as `get` prints it.")],
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="Default: `name` in the file, else its file name.")
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
    done = _run(home, lambda presets: _put(presets, data, name, file, home, yes=yes))
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
def get(name: Named, *, home: Home = None, json: Json = False) -> None:
    """Print a preset as JSON, in the format of `put`."""
    from processors.preset_registry import as_json  # noqa: PLC0415  # slow

    found = _run(home, lambda presets: _find(presets, name))
    if json:
        output.emit(found.model_dump(mode="json", exclude_none=True))
    else:
        print(as_json(found))


@preset.command("ls")
def ls(*, home: Home = None, json: Json = False) -> None:
    """List presets with their newest versions."""
    newest = _run(home, lambda presets: presets.newest())
    from processors.preset import BUILTIN  # noqa: PLC0415  # slow

    if json:
        entries = [
            {"name": name, "version": version, "built_in": name in BUILTIN}
            for name, version in newest.items()
        ]
        output.emit({"presets": entries})
        return
    rows = [
        (name, str(version), "built in" if name in BUILTIN else "")
        for name, version in newest.items()
    ]
    output.table(("name", "version", ""), rows, right=("version",))


@preset.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help=_SIDE)],
    second: Annotated[str, typer.Argument(metavar="B", help=_SIDE)],
    *,
    home: Home = None,
    json: Json = False,
) -> None:
    """Compare two presets; exit code 1 if their renditions differ."""

    async def both(presets: "PresetRegistry") -> tuple["Preset", "Preset"]:
        return await _side(presets, first), await _side(presets, second)

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
        return await presets.put(chosen, data, operator()[:100], trial)
    finally:
        await sandbox.close()


def _note(home: Path | None, stored: "Preset") -> None:
    """Append the new version to the audit log, where the accounts can be reached."""
    from serve_app.accounts.errors import AccountsUnavailable  # noqa: PLC0415  # slow

    try:
        with open_accounts(home) as accounts:
            accounts.log.preset_stored(stored.name, stored.version, actor=operator())
    except (AccountsUnavailable, UsageFault):
        output.note("the audit log of the accounts lacks this version; the store has its author")


async def _find(presets: "PresetRegistry", name: str) -> "Preset":
    from processors.preset import PresetName  # noqa: PLC0415  # slow

    return await presets.find(PresetName.parse(name))


async def _side(presets: "PresetRegistry", text: str) -> "Preset":
    from processors.preset_registry import parse_preset  # noqa: PLC0415  # slow

    return (
        parse_preset(read_file(Path(text)))
        if text.endswith(".json")
        else await _find(presets, text)
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
