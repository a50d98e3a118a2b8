"""Readers of request bodies with time limits; upload bytes are counted and hashed on arrival."""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import numpy as np
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from processors.errors import EmptyImage, TooManyBytes
from processors.job import Bytes
from serve_app.admission.admission import Lease
from serve_app.errors import BodyTimeout, MissingBody
from serve_app.settings import ServeSettings
from serve_app.upload.multipart import FILE, Form
from serve_app.upload.upload_request import UploadRequest


@dataclass(frozen=True, slots=True)
class Body:
    """Body of an upload; `fields` and `filename` come from a form."""

    image: Bytes
    sha256: str
    filename: str | None
    fields: dict[str, bytes]


class ImageBuffer:
    """Buffer of the announced size for the image's bytes, with a running hash."""

    def __init__(self, announced: int) -> None:
        # Unwritten pages take no memory, so a large announced size costs nothing.
        self._buffer = np.empty(announced, dtype=np.uint8)
        self._size = 0
        self._hash = hashlib.sha256()

    def add(self, chunk: bytes | memoryview) -> None:
        """Append the next piece."""
        end = self._size + len(chunk)
        if end > self._buffer.size:
            # The announced size is missing or too small: double the buffer, as a list does.
            grown = np.empty(max(end, 2 * self._buffer.size), dtype=np.uint8)
            grown[: self._size] = self._buffer[: self._size]
            self._buffer = grown
        self._buffer[self._size : end] = np.frombuffer(chunk, dtype=np.uint8)
        self._size = end
        self._hash.update(chunk)

    def finished(self) -> tuple[Bytes, str]:
        """Return the bytes, now read-only, and their SHA-256; raises EmptyImage."""
        if not self._size:
            raise EmptyImage("the image has no bytes")
        pixels = self._buffer[: self._size]
        pixels.flags.writeable = False
        return pixels, self._hash.hexdigest()


async def read_body(
    receive: Receive, upload: UploadRequest, lease: Lease, settings: ServeSettings
) -> Body:
    """Read the whole body and verify its checksums.

    Raises EmptyImage, TooManyBytes, MissingBody, MalformedMultipart, BodyTimeout,
    ChecksumMismatch, Overloaded, or Starlette's ClientDisconnect.
    """
    image = ImageBuffer(upload.length or 0)
    form = None
    if upload.boundary is not None:
        form = Form(upload.boundary, settings.max_bytes, image.add)
    feed: Callable[[bytes], None] = image.add if form is None else form.feed
    total = 0
    async for chunk in timed(receive, settings):
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


async def timed(
    receive: Receive, settings: ServeSettings, *, total: bool = True
) -> AsyncIterator[bytes]:
    """Yield a body in pieces.

    Raises BodyTimeout if the body pauses too long, is too slow or, with `total`, takes too long in
    all, and Starlette's ClientDisconnect.
    """
    pace = _Pace(settings, settings.body_total_seconds if total else math.inf)
    more = True
    while more:
        asked = pace.now()
        try:
            async with asyncio.timeout_at(pace.deadline()):
                message = await receive()
        except TimeoutError:
            raise pace.fault(asked) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        pace.waited += pace.now() - asked
        if chunk := message.get("body", b""):
            pace.received += len(chunk)
            yield chunk


class _Pace:
    """Deadlines of one body: for the next piece, for the average rate, and for the whole body.

    The rate counts only the time in which this process waited for the client.
    """

    def __init__(self, settings: ServeSettings, total: float) -> None:
        self._settings = settings
        self.now = asyncio.get_running_loop().time
        self._ends = self.now() + total
        self.received = 0
        """bytes received until now"""
        self.waited = 0.0
        """seconds until now in which the client was waited for"""

    def deadline(self) -> float:
        """Deadline of the next piece, on the event loop's clock."""
        idle, now = self._settings.body_idle_seconds, self.now()
        return min(now + idle, now + self._by_rate() - self.waited, self._ends)

    def _by_rate(self) -> float:
        # The rate is checked only after the time of one allowed pause, for a slow start.
        return self._settings.body_idle_seconds + self.received / self._settings.body_min_rate

    def fault(self, asked: float) -> BodyTimeout:
        """Build the error for the deadline that has passed; the client was asked at `asked`."""
        now, settings = self.now(), self._settings
        if now >= self._ends:
            return BodyTimeout("the body took too long", limit=settings.body_total_seconds)
        waited = self.waited + now - asked
        if waited >= self._by_rate():
            return BodyTimeout(
                "the body came too slowly, in bytes a second",
                limit=settings.body_min_rate,
                value=round(self.received / waited, 1),
            )
        return BodyTimeout("the body paused too long", limit=settings.body_idle_seconds)
