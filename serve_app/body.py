"""Reading an upload's body: counted, timed and hashed while it arrives, kept once, in memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
from starlette.requests import Request

from processors.errors import EmptyImage, TooManyBytes
from processors.job import Bytes
from serve_app.admission import Lease
from serve_app.errors import BodyTimeout, MissingBody
from serve_app.multipart import FILE, Form
from serve_app.settings import ServeSettings
from serve_app.upload_request import UploadRequest


@dataclass(frozen=True, slots=True)
class Body:
    """What arrived; `fields` and `filename` are a form's."""

    image: Bytes
    sha256: str
    filename: str | None
    fields: dict[str, bytes]


class _Image:
    """The image's bytes and their hash, growing."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.hash = hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        self.bytes += chunk
        self.hash.update(chunk)


async def read_body(
    request: Request, upload: UploadRequest, lease: Lease, settings: ServeSettings
) -> Body:
    """All of the body.

    Raises EmptyImage, TooManyBytes, MissingBody, MalformedMultipart, BodyTimeout,
    ChecksumMismatch, Overloaded, or Starlette's ClientDisconnect.
    """
    image = _Image()
    form = None
    if upload.boundary is not None:
        form = Form(upload.boundary, settings.max_bytes, image.add)
    feed = image.add if form is None else form.feed
    lease.hold(upload.length or 0)
    total = 0
    async for chunk in _chunks(request, settings):
        total += len(chunk)
        if total > upload.body_limit:
            raise TooManyBytes("the body is too large", limit=settings.max_bytes, value=total)
        lease.hold(total)
        upload.checksums.update(chunk)
        feed(chunk)
    upload.checksums.verify()
    if form is not None:
        form.finish()
        if not form.has_file:
            raise MissingBody(f"the form has no part named {FILE!r}")
    if not image.bytes:
        raise EmptyImage("the image has no bytes")
    pixels = np.frombuffer(image.bytes, dtype=np.uint8)
    pixels.flags.writeable = False
    return Body(
        image=pixels,
        sha256=image.hash.hexdigest(),
        filename=form.filename if form else None,
        fields=form.fields if form else {},
    )


async def _chunks(request: Request, settings: ServeSettings) -> AsyncIterator[bytes]:
    """The pieces of the body; raises BodyTimeout when it pauses or takes too long."""
    now = asyncio.get_running_loop().time
    deadline = now() + settings.body_total_seconds
    stream = request.stream()
    while True:
        idle = now() + settings.body_idle_seconds
        try:
            async with asyncio.timeout_at(min(idle, deadline)):
                chunk = await anext(stream, None)
        except TimeoutError:
            late = now() >= deadline
            limit = settings.body_total_seconds if late else settings.body_idle_seconds
            what = "took too long" if late else "paused too long"
            raise BodyTimeout(f"the body {what}", limit=limit) from None
        if chunk is None:
            return
        if chunk:
            yield chunk
