"""`pixlake process`: processes one image on this machine, without a server."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixlake.cli import output
from pixlake.cli.failures import UsageFault
from pixlake.cli.files import read_file
from pixlake.cli.options import Home, Json
from pixlake_server.cli.steps import step_of

if TYPE_CHECKING:
    from processors.job import Processed
    from processors.preset import Preset

_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp", ".avif": "avif"}


def process(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Image file.", dir_okay=False)],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="File; its suffix is the format. With --preset: a folder."
        ),
    ],
    *,
    op: Annotated[
        list[str] | None,
        typer.Option(
            "--op",
            metavar="NAME[:PARAMETER=VALUE,…]",
            help="Operation of docs/operations.md; repeatable, in order.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Preset: its name, or a file that ends in .json."),
    ] = None,
    quality: Annotated[
        int, typer.Option("--quality", min=1, max=100, help="Quality of JPEG, WebP and AVIF.")
    ] = 82,
    background: Annotated[
        str, typer.Option("--background", help="Colour behind transparent parts, for JPEG.")
    ] = "#ffffff",
    home: Home = None,
    json: Json = False,
) -> None:
    """Process one image on this machine, without a server.

    Runs in the sandbox, with the limits of the service. Writes only OUT. Reads presets from the
    store of PIXLAKE_STORE_URL, or in PIXLAKE_HOME.
    """
    if preset is not None and op:
        raise UsageFault("give --op or --preset, not both")
    data = read_file(source)
    if preset is None:
        plan = _plan(target, op or [], quality, background)
        paths = [target]
    else:
        if target.suffix.lower() in _FORMATS and not target.is_dir():
            raise UsageFault(f"with --preset OUT is a folder, but {target} has an image suffix")
        plan = _preset(preset, home)
        paths = []
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageFault("OUT and IN are the same file")
    made = asyncio.run(_process(data, plan, home))
    if preset is not None:
        paths = [target / f"{source.stem}-{one.name}.{one.extension}" for one in made.renditions]
    _write(made, paths, json=json)


def _plan(target: Path, words: list[str], quality: int, background: str) -> "Preset":
    from pydantic import ValidationError  # noqa: PLC0415  # slow; not for --help

    from processors.preset import MAX_OPERATIONS, Preset, RenditionSpec  # noqa: PLC0415

    output_format = _FORMATS.get(target.suffix.lower())
    if output_format is None:
        raise UsageFault(f"{target} ends in none of {', '.join(_FORMATS)}")
    if len(words) > MAX_OPERATIONS:
        raise UsageFault(f"{len(words)} operations, the limit is {MAX_OPERATIONS}")
    parameters: dict[str, Any] = {
        "name": "out",
        "operations": [step_of(word) for word in words],
        "format": output_format,
        "quality": quality,
        "background": background,
    }
    try:
        spec = RenditionSpec.model_validate(parameters)
    except ValidationError as error:
        raise UsageFault(
            "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())
        ) from None
    return Preset(name="process", version=1, renditions=(spec,))


def _preset(text: str, home: Path | None) -> "Preset":
    from lake.errors import StoreMissing  # noqa: PLC0415  # slow
    from lake.lake import Lake  # noqa: PLC0415
    from lake.settings import LakeSettings  # noqa: PLC0415
    from pixlake_server.cli.settings import load_existing  # noqa: PLC0415
    from processors.errors import UnknownPreset  # noqa: PLC0415
    from processors.preset import PresetName, find_builtin  # noqa: PLC0415
    from processors.preset_registry import PresetRegistry, parse_preset  # noqa: PLC0415

    if text.endswith(".json"):
        return parse_preset(read_file(Path(text)))
    name = PresetName.parse(text)
    if (built_in := find_builtin(name)) is not None:
        return built_in
    settings = load_existing(LakeSettings, home, "store_url")

    async def stored() -> "Preset":
        try:
            lake = await Lake.open(settings, make=False)
        except StoreMissing as missing:
            raise UnknownPreset(f"no preset is named {text!r}; {missing}", value=text) from None
        return await PresetRegistry(lake.presets).find(name)

    return asyncio.run(stored())


async def _process(data: bytes, plan: "Preset", home: Path | None) -> "Processed":
    from pixlake_server.cli.settings import load  # noqa: PLC0415  # slow
    from processors.sandbox.sandbox import Sandbox  # noqa: PLC0415
    from processors.settings import ProcessorSettings  # noqa: PLC0415

    settings = load(ProcessorSettings, home).model_copy(
        update={"sandbox_children": 1, "sandbox_spares": 0}
    )
    sandbox = await Sandbox.start(settings)
    try:
        return await sandbox.process(data, plan)
    finally:
        await sandbox.close()


def _write(made: "Processed", paths: list[Path], *, json: bool) -> None:
    from pixlake.client.files import written  # noqa: PLC0415  # slow; not for --help

    for path, rendition in zip(paths, made.renditions, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written(path) as file:
            file.write(rendition.data)
    if json:
        renditions = [
            {
                "path": str(path),
                "format": one.format,
                "width": one.width,
                "height": one.height,
                "bytes": len(one.data),
            }
            for path, one in zip(paths, made.renditions, strict=True)
        ]
        output.emit({"process_ms": round(made.process_ms, 1), "renditions": renditions})
        return
    rows = [
        (str(path), f"{one.width} x {one.height}", output.size(len(one.data)))
        for path, one in zip(paths, made.renditions, strict=True)
    ]
    output.table(("file", "size", "bytes"), rows, right=("size", "bytes"))
