"""Check of query parameters: refuses unknown and repeated parameters on all routes below /v1/.

The OpenAPI description defines which parameters a route accepts. Console pages and health checks
are not checked, because links and load balancers may add parameters.
"""

import re
from collections import Counter
from functools import cached_property
from typing import NamedTuple
from urllib.parse import parse_qsl

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from lake.errors import CodedError
from processors.nearest import unknown
from serve_app.auth import bearer
from serve_app.errors import InvalidRequest, RateLimited
from serve_app.problems import refusal
from serve_app.usage_counts import note_sender

_API = "/v1/"


class _Route(NamedTuple):
    """Route of the OpenAPI description; `key_scope`: scope that it needs, None without a key."""

    path: re.Pattern[str]
    parameters: frozenset[str]
    key_scope: str | None


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
                counted = await self._counted(scope)
                await refusal(scope, counted or error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _counted(self, scope: Scope) -> CodedError | None:
        """Count a refused request of a valid key with the route's scope, for limits and usage.

        Returns RateLimited for a request above a limit, otherwise None.
        """
        route, context = self._route(scope), self._api.state.context
        if route is None or route.key_scope is None:
            return None
        try:
            sender = await context.keys.holder(bearer(Headers(scope=scope)), route.key_scope)
        except CodedError:
            return None  # a request without a valid key counts for nobody
        note_sender(scope, sender)
        try:
            await context.rates.count_request(sender, scope)
        except RateLimited as error:
            return error
        return None

    def _check(self, scope: Scope) -> None:
        route = self._route(scope)
        if route is None:
            return  # no route has this path; FastAPI answers 404
        known = route.parameters
        text = scope["query_string"].decode("latin-1")
        sent = Counter(name for name, _ in parse_qsl(text, keep_blank_values=True))
        for name, times in sent.items():
            if name not in known:
                raise InvalidRequest(unknown("parameter", name, known), value=name)
            if times > 1:
                raise InvalidRequest(f"the parameter {name} is repeated", limit=1, value=times)

    def _route(self, scope: Scope) -> _Route | None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        for route in self._routes.get(method, ()):
            if route.path.match(scope["path"]):
                return route
        return None

    @cached_property
    def _routes(self) -> dict[str, list[_Route]]:
        """Routes by method."""
        found: dict[str, list[_Route]] = {}
        for path, methods in self._api.openapi()["paths"].items():
            pattern, _, _ = compile_path(path)
            for method, described in methods.items():
                names = frozenset(
                    one["name"] for one in described.get("parameters", ()) if one["in"] == "query"
                )
                scopes = [each for one in described.get("security", ()) for each in one.values()]
                route = _Route(pattern, names, scopes[0][0] if scopes else None)
                found.setdefault(method.upper(), []).append(route)
        return found
