"""`pixlake ls`: what came in, newest first."""

from typing import Annotated

import typer

from pixlake.cli import output
from pixlake.cli.options import Home, Json, KeyFile, Url
from pixlake.cli.target import connect

_DEADLINE_SECONDS = 20.0
_LIMIT = 20


def ls(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = _LIMIT,
    every: Annotated[bool, typer.Option("--all", help="All images, however many.")] = False,
    url: Url = None,
    key_file: KeyFile = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """List images, newest first.

    An image is listed as soon as it was accepted.
    """
    with connect(url, key_file, home, deadline=_DEADLINE_SECONDS) as client:
        images = list(client.images(limit=None if every else limit))
    if json:
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
