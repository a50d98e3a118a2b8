"""Line of each answer in the log, by whose fields operators find tenants, codes and slow requests.

Serve's own line for each request has neither tenant nor code.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.types import Scope

from lake.logs import logger
from serve_app.usage_counts import noted_refusal

log = logger(__name__)
# Asked every few seconds by balancer and supervisor; only their failures are logged.
_CHECKS: Final = frozenset({"/healthz", "/readyz"})

# Serve's filters read this field, and its formatter drops it. Serve's context (ids of worker, actor
# and node, names of the deployment) makes 1,135 bytes of a line that has 524 without it.
LEAN: Final[Mapping[str, object]] = {"skip_context_filter": True}


def log_answer(scope: Scope, status: int, seconds: float) -> None:
    """Log an answer; tenant and image are bound, and status 0 is a connection without an answer."""
    if scope["path"] in _CHECKS and status == HTTPStatus.OK:
        return
    log.info(
        "request answered",
        method=scope["method"],
        path=_route(scope),
        status=status,
        code=noted_refusal(scope) or "",
        ms=round(seconds * 1000, 1),
        **LEAN,
    )


def _route(scope: Scope) -> str:
    """Path with names in place of values, by which queries group; empty if no route has it."""
    if "endpoint" not in scope:
        return ""
    names = {str(value): f"{{{name}}}" for name, value in scope.get("path_params", {}).items()}
    parts = scope["path"].split("/")
    # `/v1/images` has no values, and a client may name a rendition `images`.
    return "/".join([*parts[:3], *(names.get(part, part) for part in parts[3:])])
