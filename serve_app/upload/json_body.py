"""Reader of small JSON bodies: bounded in bytes and time, and verified against their checksums."""

from collections.abc import Callable

from fastapi import Request

from serve_app.settings import ServeSettings
from serve_app.upload.body import timed
from serve_app.upload.checksums import Checksums
from serve_app.upload.upload_request import refuse_encoded


async def read_json_body(
    request: Request,
    settings: ServeSettings,
    limit: int,
    too_large: Callable[[int], Exception],
) -> bytes:
    """Read the body of a request.

    Raises the error that `too_large` makes of a size above the limit, UnsupportedContentEncoding,
    InvalidChecksum, ChecksumMismatch, BodyTimeout, or Starlette's ClientDisconnect.
    """
    refuse_encoded(request.headers)
    checksums = Checksums.announced(request.headers)
    data = bytearray()
    async for chunk in timed(request.receive, settings):
        data += chunk
        if len(data) > limit:
            raise too_large(len(data))
    body = bytes(data)
    checksums.update(body)
    checksums.verify()
    return body
