"""`pixlake ls`: lists images, newest first."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, cast

import typer

from pixlake.cli import output
from pixlake.cli.options import Deadline, Json, JsonLines, form_of
from pixlake.cli.target import ApiOptions, connect, with_api_options

if TYPE_CHECKING:
    from pixlake.client import Conditions

_DEADLINE_SECONDS = 60.0
_LIMIT = 20


@with_api_options
def ls(
    *,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Largest number of images.")
    ] = _LIMIT,
    every: Annotated[bool, typer.Option("--all", help="All images, without a limit.")] = False,
    since: Annotated[
        datetime | None,
        typer.Option("--since", help="Only images received at this local time or later."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", help="Only images received before this time.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="Only images of NAME or NAME@VERSION.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Only images by `api` or by `kafka`.")
    ] = None,
    format: Annotated[  # noqa: A002  # the name of the column
        str | None, typer.Option("--format", help="Only images of this format: `jpeg`, `png`, …")
    ] = None,
    code: Annotated[
        str | None, typer.Option("--code", help="Only images with a QR or bar code of this text.")
    ] = None,
    meta: Annotated[
        str | None,
        typer.Option("--meta", metavar="NAME[=VALUE]", help="Only images with this metadata."),
    ] = None,
    deadline: Deadline = _DEADLINE_SECONDS,
    jsonl: JsonLines = False,
    json: Json = False,
    api: ApiOptions,
) -> None:
    """List images, newest first.

    An image is listed as soon as it is accepted.
    """
    form = form_of(json=json, jsonl=jsonl)
    given = {
        "since": since,
        "until": until,
        "preset": preset,
        "source": source,
        "format": format,
        "code": code,
        "metadata": _metadata(meta),
    }
    only = cast("Conditions", {name: value for name, value in given.items() if value is not None})
    with connect(api, deadline=deadline) as client:
        listed = client.images(limit=None if every else limit, **only)
        if form == "jsonl":
            for image in listed:
                output.emit(image.model_dump(mode="json"))
            return
        images = list(listed)
    if form == "json":
        output.emit({"images": [image.model_dump(mode="json") for image in images]})
        return
    rows = [
        (
            image.image_id,
            f"{image.received_at.astimezone():%m-%d %H:%M:%S}",
            image.format,
            f"{image.width}x{image.height}",
            image.filename or "",
        )
        for image in images
    ]
    output.table(("id", "received", "format", "pixels", "file"), rows)
    if not images:
        hint = "no images yet; `pixlake upload FILE` stores one"
        output.note("no image fulfils the conditions" if only else hint)


def _metadata(text: str | None) -> dict[str, str | None] | None:
    """Parse `NAME` or `NAME=VALUE`."""
    if text is None:
        return None
    name, has_value, value = text.partition("=")
    return {name: value if has_value else None}
