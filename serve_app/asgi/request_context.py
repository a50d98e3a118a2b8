"""Middleware for every request: request id, safe headers, no exception text, a line in the log."""

import re
import secrets
import time
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lake.logs import bound, logger
from serve_app.asgi.answer_line import log_answer
from serve_app.errors import HeadersTooLarge
from serve_app.problems import INTERNAL, problem
from serve_app.rates import rate_headers
from serve_app.usage_counts import count_answer

log = logger(__name__)
REQUEST_ID = "x-request-id"

# httptools has no limit for headers; 32 KiB is twice the usual limit of proxies.
_MAX_HEADER_BYTES = 32 * 1024
_REQUEST_ID_TEXT = re.compile(r"[A-Za-z0-9._:-]{1,64}")

_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class RequestContext:
    """ASGI middleware around all routes of the app.

    It gives each request an id (the client's `X-Request-Id` if that is valid), limits the headers
    of the request, and sets safe default headers on the answer. An unexpected exception becomes a
    500 `internal` with the id and no details.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = chosen_request_id(Headers(scope=scope).getlist(REQUEST_ID))
        scope.setdefault("state", {})["request_id"] = request_id
        with bound(request_id=request_id):
            await self._serve(scope, receive, send, request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        began, status, size = time.monotonic(), 0, 0

        async def send_wrapped(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                _finish_headers(message, request_id, rate_headers(scope))
            size += len(message.get("body", b""))
            await send(message)

        try:
            await self._answer(scope, receive, send_wrapped, lambda: status > 0)
        finally:
            log_answer(scope, status, time.monotonic() - began)
            count_answer(scope["app"].state.context.usage, scope, size)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, started: Callable[[], bool]
    ) -> None:
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > _MAX_HEADER_BYTES:
            error = HeadersTooLarge(
                "the headers have too many bytes", limit=_MAX_HEADER_BYTES, value=size
            )
            await problem(scope, error.fault)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except Exception:
            log.exception("request failed")
            if started():
                # The client has a part of the answer; only a closed connection shows the failure.
                raise
            await problem(scope, INTERNAL)(scope, receive, send)


def chosen_request_id(sent: list[str]) -> str:
    """Return the client's id if the client sent exactly one valid id, otherwise a new id."""
    if len(sent) == 1 and _REQUEST_ID_TEXT.fullmatch(sent[0]):
        return sent[0]
    return secrets.token_hex(16)


def _finish_headers(message: Message, request_id: str, more: Mapping[str, str]) -> None:
    headers = MutableHeaders(scope=message)
    headers["X-Request-Id"] = request_id
    headers.update(more)
    for name, value in _SAFE.items():
        headers.setdefault(name, value)
