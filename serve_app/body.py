"""Reading an upload's body: counted, timed and hashed while it arrives, kept once, in memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import numpy as np
from starlette.requests import ClientDisconnect
from starlette.types import Receive

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
    """The image's bytes and their hash, growing in one buffer of the announced size."""

    def __init__(self, announced: int) -> None:
        # Pages that nothing is written to take no memory: announcing much costs us nothing.
        self._buffer = np.empty(announced, dtype=np.uint8)
        self._size = 0
        self._hash = hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        end = self._size + len(chunk)
        if end > self._buffer.size:
            # Nothing was announced (or less, by a form that lies): by doubling, as lists grow.
            grown = np.empty(max(end, 2 * self._buffer.size), dtype=np.uint8)
            grown[: self._size] = self._buffer[: self._size]
            self._buffer = grown
        self._buffer[self._size : end] = np.frombuffer(chunk, dtype=np.uint8)
        self._size = end
        self._hash.update(chunk)

    def finished(self) -> tuple[Bytes, str]:
        """The bytes, not to be changed any more, and their SHA-256; raises EmptyImage."""
        if not self._size:
            raise EmptyImage("the image has no bytes")
        pixels = self._buffer[: self._size]
        pixels.flags.writeable = False
        return pixels, self._hash.hexdigest()


async def read_body(
    receive: Receive, upload: UploadRequest, lease: Lease, settings: ServeSettings
) -> Body:
    """All of the body.

    Raises EmptyImage, TooManyBytes, MissingBody, MalformedMultipart, BodyTimeout,
    ChecksumMismatch, Overloaded, or Starlette's ClientDisconnect.
    """
    lease.hold(upload.length or 0)
    image = _Image(upload.length or 0)
    form = None
    if upload.boundary is not None:
        form = Form(upload.boundary, settings.max_bytes, image.add)
    feed: Callable[[bytes], None] = image.add if form is None else form.feed
    total = 0
    async for chunk in _chunks(receive, settings):
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
    data, sha256 = image.finished()
    return Body(
        image=data,
        sha256=sha256,
        filename=form.filename if form else None,
        fields=form.fields if form else {},
    )


async def _chunks(receive: Receive, settings: ServeSettings) -> AsyncIterator[bytes]:
    """The pieces of the body; raises BodyTimeout when it pauses or takes too long."""
    now = asyncio.get_running_loop().time
    deadline = now() + settings.body_total_seconds
    more = True
    while more:
        idle = now() + settings.body_idle_seconds
        try:
            async with asyncio.timeout_at(min(idle, deadline)):
                message = await receive()
        except TimeoutError:
            late = now() >= deadline
            limit = settings.body_total_seconds if late else settings.body_idle_seconds
            what = "took too long" if late else "paused too long"
            raise BodyTimeout(f"the body {what}", limit=limit) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if chunk := message.get("body", b""):
            yield chunk
