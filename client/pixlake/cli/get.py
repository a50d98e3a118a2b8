"""`pixlake get`: shows one record, or saves the bytes of an image."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixlake.cli import output
from pixlake.cli.failures import CliError, UsageFault, near
from pixlake.cli.options import Deadline, Json
from pixlake.cli.target import ApiOptions, connect, with_api_options

if TYPE_CHECKING:
    from pixlake.client import Client, Image

_DEADLINE_SECONDS = 60.0
_STDOUT = Path("-")


class NoRendition(CliError):
    """The image has no rendition of that name."""

    code = "rendition_not_found"


@with_api_options
def get(
    image_id: Annotated[str, typer.Argument(metavar="ID", help="Image id, as `ls` shows it.")],
    *,
    rendition: Annotated[
        str | None,
        typer.Option("--rendition", "-r", help="original, or a rendition, for instance 320."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Target file; - is standard output."),
    ] = None,
    deadline: Deadline = _DEADLINE_SECONDS,
    json: Json = False,
    api: ApiOptions,
) -> None:
    """Show the record of an image, or save its bytes.

    With -o the original or the given rendition is saved, and its SHA-256 is checked.
    """
    if rendition and to is None:
        raise UsageFault("no file to save to: give -o FILE, or -o - for standard output")
    if json and to == _STDOUT:
        raise UsageFault("--json and -o - both use standard output; give only one of them")
    with connect(api, deadline=deadline) as client:
        image = client.get(image_id)
        if to is not None:
            _save(client, image, rendition or "original", to, json=json)
        elif json:
            output.emit(image.model_dump(mode="json"))
        else:
            _show(image)


def _save(client: "Client", image: "Image", rendition: str, to: Path, *, json: bool) -> None:
    try:
        content_type, _ = image.stored(rendition)
    except KeyError as error:
        hint = near(rendition, ["original", *(one.name for one in image.renditions)])
        raise NoRendition(f"{error.args[0]}{hint}") from None
    if to == _STDOUT:
        sys.stdout.buffer.write(client.download(image, rendition))
        return
    size = client.save(image, to, rendition)
    if json:
        saved = {"path": str(to), "bytes": size, "content_type": content_type}
        output.emit({"image_id": image.image_id, "rendition": rendition, **saved})
    else:
        print(output.clean(f"{to}: {output.size(size)}, {content_type}"))


def _show(image: "Image") -> None:
    fields = image.model_dump(mode="json", exclude={"renditions", "metadata", "links"})
    rows = [(name, str(value)) for name, value in fields.items() if value is not None]
    rows += [(f"metadata {name}", value) for name, value in image.metadata.items()]
    rows += [
        (
            f"rendition {one.name}",
            f"{one.width}x{one.height} {one.format}, {output.size(one.bytes)}",
        )
        for one in image.renditions
    ]
    output.table(("field", "value"), rows)
