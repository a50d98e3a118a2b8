"""Middleware that adds `Deprecation`, `Sunset` and `Link` to the answers of deprecated routes."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.deprecation import deprecation_headers


class Deprecations:
    """ASGI middleware next to the router, which puts the route's function into the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(deprecation_headers(scope))
            await send(message)

        await self._app(scope, receive, send_marked)
