"""Middleware that handles uploads without FastAPI's routing and dependency injection.

For each request FastAPI needs 0.5 ms of CPU for matching, injection and validation. An upload needs
only two headers and one query parameter. The route in `serve_app.upload.uploads` does the same; it
exists because FastAPI generates the OpenAPI description from that route.
"""

import asyncio
from http import HTTPStatus

from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.app_context import AppContext
from serve_app.problems import refusal
from serve_app.upload.uploads import PATH, store


class FastLane:
    """ASGI middleware: answers `POST /v1/images`, and passes other requests to the app."""

    def __init__(self, app: ASGIApp, door: AppContext) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == PATH:
            answer = await self._upload(scope, receive)
            await answer(scope, receive, send)
            if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
                # After the refusal, Serve's metrics and log take as much time as the refusal. Yield
                # to the event loop, so that the other requests of a burst are refused first.
                await asyncio.sleep(0)
        else:
            await self._app(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive) -> Response:
        headers = Headers(scope=scope)
        preset = QueryParams(scope["query_string"]).get("preset")
        try:
            return await store(self._door, headers, preset, receive)
        except Exception as error:  # noqa: BLE001  # `refusal` raises unknown errors again
            return refusal(scope, error)
