"""Middleware that reads the rest of a refused body, so that the client gets the answer.

If a server answers early and closes the connection, the kernel resets the connection. Most clients
read only after they have sent the body, so they report "connection reset" instead of the 413. The
rest of the body is therefore read and discarded, within limits. On a connection that stays open
serve_app/asgi/framing.py reads the rest. On a connection that closes, this middleware does.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BYTES = 32_000_000
"""Largest rest of a refused body that is read, in bytes: an upload of the default limit with its
form, so that every client within the limit gets its answer. To discard it takes 20 ms of a core."""
MAX_SECONDS = 5.0
"""Longest time to read the rest. A slower client has read the answer by then, or times out."""


class DrainBody:
    """ASGI middleware that reads the rest of a refused body before the connection closes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or not _closes_with_body(scope):
            await self._app(scope, receive, send)
            return
        ended = False

        async def receive_watched() -> Message:
            nonlocal ended
            message = await receive()
            ended = not message.get("more_body", False)
            return message

        async def send_lingering(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not last or ended:
                await send(message)
                return
            await send({**message, "more_body": True})
            await _drain(receive)
            await send({"type": "http.response.body", "body": b""})

        await self._app(scope, receive_watched, send_lingering)


def _closes_with_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    tokens = ",".join(headers.getlist("connection")).lower().split(",")
    # After a refused `Expect: 100-continue`, serve_app/asgi/framing.py closes the connection.
    closes = "close" in map(str.strip, tokens) or scope["http_version"] == "1.0"
    closes = closes or "expect" in headers
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    return closes and has_body


async def _drain(receive: Receive) -> None:
    left = MAX_BYTES
    try:
        async with asyncio.timeout(MAX_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return
