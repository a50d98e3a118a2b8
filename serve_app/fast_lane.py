"""The way of an upload past the framework: its routing and injection took as long as the rest.

FastAPI matches, injects and validates for 0.5 ms of CPU a request; an upload needs two headers and
one parameter of the query. The route in `serve_app.uploads` stays, for it is what the API's
documentation is made from, and does the same.
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
                # What Serve does now (metrics, a line in its log) takes as long as all before: the
                # others of a burst are refused first.
                await asyncio.sleep(0)
        else:
            await self._app(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive) -> Response:
        headers = Headers(scope=scope)
        preset = QueryParams(scope["query_string"]).get("preset")
        try:
            return await store(self._door, headers, preset, receive)
        except Exception as error:  # noqa: BLE001  # `refusal` raises what it does not know
            return refusal(scope, error)
