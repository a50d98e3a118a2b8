"""Middleware for request data that controls Ray Serve: headers, and the method.

`x-request-timeout-seconds: 0` switches off Serve's time-out. `x-request-disconnect-disabled: ?1`
keeps a request running after its client disconnected. The other headers of `STRIPPED` control
routing. Serve logs `x-request-id` unchanged, so only a valid id passes. The method becomes a label
of Serve's metrics, and each new label creates a time series, so only methods of HTTP pass.
"""

from functools import lru_cache

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.asgi.request_context import REQUEST_ID, chosen_request_id

PREFIX = "x-serve-"
"""Prefix of headers from HAProxy and Serve's request routers to replicas."""
STRIPPED = frozenset(
    {
        "x-request-timeout-seconds",
        "x-request-disconnect-disabled",
        "serve-multiplexed-model-id",
        "x-session-id",
        REQUEST_ID,
    }
)
METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"}
)
"""Methods of RFC 9110, 9.3, and PATCH."""
OTHER_METHOD = "OTHER"
"""Replacement for every other method; no route accepts it."""
# Uploads have their own time limits and continue after a disconnect, so Serve's time-out and
# disconnect handling are switched off for uploads. For every piece of a body, Serve's handling
# needs three tasks and a queue: a tenth of the replica's time for a body of 1.2 MB.
_LEFT_TO_US = [(b"x-request-timeout-seconds", b"0"), (b"x-request-disconnect-disabled", b"?1")]


class ServeHeaders:
    """ASGI middleware: drops headers that control Serve, limits methods, sets `x-request-id`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request_id = chosen_request_id(Headers(scope=scope).getlist(REQUEST_ID))
        kept = [(name, value) for name, value in scope["headers"] if not _acts_on_serve(name)]
        kept.append((REQUEST_ID.encode(), request_id.encode()))
        known = {**scope, "headers": kept}
        if scope["type"] == "http":
            known["method"] = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
            if scope["method"] == "POST":  # only POST can be an upload
                kept += _LEFT_TO_US

        async def send_once(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Serve appends the header, too; a client should get it once.
                headers = MutableHeaders(scope=message)
                del headers["X-Request-Id"]
                headers["X-Request-Id"] = request_id
            await send(message)

        await self._app(known, receive, send_once)


@lru_cache(maxsize=1024)
def _acts_on_serve(name: bytes) -> bool:
    # Serve treats - and _ as equal in some of these names.
    plain = name.decode("latin-1").lower().replace("_", "-")
    return plain in STRIPPED or plain.startswith(PREFIX)
