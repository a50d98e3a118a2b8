"""`pixlake ls`: lists images, newest first."""

from typing import Annotated

import typer

from pixlake.cli import output
from pixlake.cli.options import Deadline, Json, JsonLines, form_of
from pixlake.cli.target import ApiOptions, connect, with_api_options

_DEADLINE_SECONDS = 60.0
_LIMIT = 20


@with_api_options
def ls(
    *,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Largest number of images.")
    ] = _LIMIT,
    every: Annotated[bool, typer.Option("--all", help="All images, without a limit.")] = False,
    deadline: Deadline = _DEADLINE_SECONDS,
    jsonl: JsonLines = False,
    json: Json = False,
    api: ApiOptions,
) -> None:
    """List images, newest first.

    An image is listed as soon as it is accepted.
    """
    form = form_of(json=json, jsonl=jsonl)
    with connect(api, deadline=deadline) as client:
        listed = client.images(limit=None if every else limit)
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
        output.note("no images yet; `pixlake upload FILE` stores one")
