"""Cross-origin requests (CORS): pages of the allowed origins may use the API, with a key.

Browsers ask before most requests (preflight), without a key. `Preflights` answers within
`RequestContext`, so that an answer has a request id and a line in the log. `CorsHeaders` is outside
of it, so that every refusal can be read, too. No cookie is ever accepted, so no answer allows
credentials.
"""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
# Headers of answers that a page may read; browsers always show Content-Type and Content-Length.
_EXPOSED = (
    "Accept-Ranges",
    "Allow",
    "Content-Disposition",
    "Content-Range",
    "Deprecation",
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Sunset",
    "WWW-Authenticate",
    "X-Request-Id",
)
# Chromium keeps the answer to a preflight for at most two hours.
_KEPT_SECONDS = 7_200


class CorsHeaders(CORSMiddleware):
    """ASGI middleware: adds the CORS headers to answers for pages of the allowed origins."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(app, allow_origins=origins, expose_headers=_EXPOSED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or _is_preflight(scope):
            await self.app(scope, receive, send)
            return
        await self.simple_response(scope, receive, send, Headers(scope=scope))


class Preflights(CORSMiddleware):
    """ASGI middleware: answers preflights that are allowed; others are refused as any OPTIONS."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        # The names of metadata are in names of headers, so every header is allowed.
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=["*"],
            max_age=_KEPT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and _is_preflight(scope):
            answer = self.preflight_response(Headers(scope=scope))
            if answer.status_code < 400:  # noqa: PLR2004
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _is_preflight(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    asked = "origin" in headers and "access-control-request-method" in headers
    return bool(asked and scope["method"] == "OPTIONS")
