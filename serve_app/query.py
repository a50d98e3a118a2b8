"""Check of query parameters: refuses unknown and repeated parameters on all routes below /v1/.

The OpenAPI description defines which parameters a route accepts. Console pages and health checks
are not checked, because links and load balancers may add parameters.
"""

import re
from collections import Counter
from functools import cached_property
from urllib.parse import parse_qsl

from fastapi import FastAPI
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from processors.nearest import unknown
from serve_app.errors import InvalidRequest
from serve_app.problems import refusal

_API = "/v1/"


class KnownParameters:
    """ASGI middleware: answers 422 to a parameter that the route of `api` does not accept."""

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and scope["query_string"] and scope["path"].startswith(_API):
            try:
                self._check(scope)
            except InvalidRequest as error:
                await refusal(scope, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        known = self._known(scope)
        if known is None:
            return  # no route has this path; FastAPI answers 404
        text = scope["query_string"].decode("latin-1")
        sent = Counter(name for name, _ in parse_qsl(text, keep_blank_values=True))
        for name, times in sent.items():
            if name not in known:
                raise InvalidRequest(unknown("parameter", name, known), value=name)
            if times > 1:
                raise InvalidRequest(f"the parameter {name} is repeated", limit=1, value=times)

    def _known(self, scope: Scope) -> frozenset[str] | None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        for pattern, names in self._routes.get(method, ()):
            if pattern.match(scope["path"]):
                return names
        return None

    @cached_property
    def _routes(self) -> dict[str, list[tuple[re.Pattern[str], frozenset[str]]]]:
        """Method to path patterns, each with the names of its query parameters."""
        found: dict[str, list[tuple[re.Pattern[str], frozenset[str]]]] = {}
        for path, methods in self._api.openapi()["paths"].items():
            pattern, _, _ = compile_path(path)
            for method, described in methods.items():
                names = frozenset(
                    one["name"] for one in described.get("parameters", ()) if one["in"] == "query"
                )
                found.setdefault(method.upper(), []).append((pattern, names))
        return found
