"""Middleware that handles uploads without FastAPI's routing and dependency injection.

FastAPI needs 0.5 ms of CPU a request for matching, injection and validation; an upload only needs
two headers and one query parameter. The route in `serve_app.uploads` does the same and stays,
because the OpenAPI description is generated from it.
"""

import asyncio
from http import HTTPStatus

from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.door import Door
from serve_app.problems import refusal
from serve_app.uploads import PATH, store


class FastLane:
    """ASGI middleware: answers `POST /v1/images` itself and passes everything else on."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == PATH:
            answer = await self._upload(scope, receive)
            await answer(scope, receive, send)
            if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
                # Serve's metrics and log for this answer cost as much time as the refusal, so let
                # the other requests of a burst be refused first.
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
