"""Problem+json answers (RFC 9457), the same format for all errors."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPMethod, HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Scope

from lake.errors import CodedError, Fault, ImageExpiring
from lake.logs import logger
from lake.shortage import is_shortage
from processors.errors import Overloaded
from processors.untrusted_text import evidence
from serve_app.errors import (
    PROBLEMS,
    PROXY_CODES,
    Forbidden,
    RangeNotSatisfiable,
    Unauthorized,
    UnsupportedContentEncoding,
    UnsupportedMediaType,
)
from serve_app.metrics import refusals_by_code
from serve_app.usage_counts import note_refusal

log = logger(__name__)
MEDIA_TYPE = "application/problem+json"
ACCEPTED = "image/*, application/octet-stream, multipart/form-data"
"""Media types of uploads."""
BATCH_PATH = "/v1/images:batch"
ACCEPTED_BATCHES = "application/x-tar, multipart/form-data, multipart/mixed"
"""Media types of batches."""
INTERNAL = Fault("internal", "an unexpected exception, which the log has")

# Longest text of a request that is repeated in an answer.
_MAX_ECHO = 200
_MAX_DETAIL = 500
_BY_STATUS = {404: "not_found", 405: "method_not_allowed"}

# Refusals of every route that asks for a key.
_OF_KEYS = (
    "unauthorized",
    "forbidden",
    "tenant_suspended",
    "invalid_request",
    "rate_limited",
    "accounts_unavailable",
)
OF_BODIES = (
    "client_disconnected",
    "invalid_checksum",
    "checksum_mismatch",
    "body_timeout",
    "unsupported_content_encoding",
)
"""Refusals of every route that reads a body."""
OF_READS = ("overloaded", "store_unavailable", "store_denied")
"""Refusals of every route that reads images or presets."""
OF_CHANGES = (
    "standby",
    "unavailable",
    "store_unavailable",
    "store_denied",
    "store_read_only",
    "store_full",
)
"""Refusals of every route that changes images or presets."""

# Headers of refusals by status: name, type, description.
_RETRY = ("Retry-After", "integer", "seconds until the next request")
_CHALLENGE = ("WWW-Authenticate", "string", "what is wrong with the key (RFC 6750)")
_HEADERS: Mapping[int, Sequence[tuple[str, str, str]]] = {
    401: (_CHALLENGE,),
    416: (("Content-Range", "string", "the size of the image: `bytes */SIZE`"),),
    429: (
        _RETRY,
        ("RateLimit-Policy", "string", "limits of key and tenant: requests `q` in `w` seconds"),
        ("RateLimit", "string", "what is left of each limit: requests `r`, seconds `t`"),
    ),
    503: (_RETRY,),
    507: (_RETRY,),
}
# HAProxy does not know the limits of keys and tenants.
_NOT_FROM_PROXY = frozenset({"RateLimit-Policy", "RateLimit"})


class ProblemDetails(BaseModel):
    """Refusal of a request, as application/problem+json (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "title": "Problem",
            "examples": [
                {
                    "type": "urn:pixlake:problem:too_many_pixels",
                    "title": "The image has too many pixels",
                    "status": 422,
                    "detail": "the image has too many pixels",
                    "code": "too_many_pixels",
                    "limit": 100_000_000,
                    "value": 400_000_000,
                    "request_id": "5b1f0c2d7e8a49b3a6c4d5e6f7081920",
                }
            ],
        }
    )

    type: str = Field(description="urn:pixlake:problem:<code>")
    title: str
    status: int
    detail: str
    code: str = Field(
        description="stable error code for programs",
        json_schema_extra={"enum": [*sorted({*PROBLEMS, *PROXY_CODES})]},
    )
    limit: float | None = Field(default=None, description="the limit that was exceeded, if any")
    value: float | str | None = Field(default=None, description="what was measured or sent")
    errors: list[dict[str, str]] | None = Field(
        default=None, description="`where` and `what` of each invalid parameter"
    )
    request_id: str = Field(description="quote it when you ask about this answer")


def problem(
    scope: Scope,
    fault: Fault,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    status: int | None = None,
) -> JSONResponse:
    """Build the answer for a fault; omits the details of server faults."""
    known = PROBLEMS[fault.code]
    refusals_by_code[fault.code] += 1
    note_refusal(scope, fault.code)
    body: dict[str, object] = {
        "type": f"urn:pixlake:problem:{fault.code}",
        "title": known.title,
        "status": status or known.status,
        **facts(fault),
    }
    if errors:
        body["errors"] = errors
    body["request_id"] = request_id(scope)
    retry = {} if known.retry_after is None else {"Retry-After": str(known.retry_after)}
    return JSONResponse(
        body,
        status_code=status or known.status,
        headers={**retry, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def request_id(scope: Scope) -> str:
    """Return the id of this request, which `serve_app.asgi.request_context` has set."""
    return str(scope.get("state", {}).get("request_id", ""))


def problem_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Describe in OpenAPI the refusals of a route that asks for a key: with `codes`, by status.

    FastAPI would add `application/json` to a response that has a model, so none has; `Api` of
    `serve_app/upload/route.py` adds the schema of problems.
    """
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*_OF_KEYS, *codes)):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {status: _described(status, found) for status, found in sorted(by_status.items())}


def _described(status: int, codes: Sequence[str]) -> dict[str, Any]:
    """Describe the answers with a status: their codes, and the headers of the status."""
    by_proxy = [code for code, of_proxy in PROXY_CODES.items() if of_proxy == status]
    titles = "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes)
    only = {"properties": {"code": {"enum": sorted({*codes, *by_proxy})}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/ProblemDetails"}, only]}
    described: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}. {titles}",
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    if status in _HEADERS:
        described["headers"] = {
            name: {
                "description": text,
                "required": name not in _NOT_FROM_PROXY,
                "schema": {"type": kind},
            }
            for name, kind, text in _HEADERS[status]
        }
    return described


def install(app: FastAPI) -> None:
    """Register handlers that turn exceptions with a code, and FastAPI's own, into problems."""
    # A shortage of memory, threads or files has one of the last types; others are raised again.
    for kind in (CodedError, MemoryError, OSError, RuntimeError):
        app.add_exception_handler(kind, _coded)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _coded)


async def _coded(request: Request, error: Exception) -> JSONResponse:
    return refusal(request.scope, error)


def refusal(scope: Scope, error: Exception) -> JSONResponse:
    """Build the answer for an error with a code or a disconnected client; re-raises other errors.

    A shortage of memory, threads or files is answered as Overloaded.
    """
    return problem(scope, fault_of(error), headers=_headers(scope, error))


def fault_of(error: Exception) -> Fault:
    """Return the fault of an error that `refusal` answers, and log a fault of the server."""
    if isinstance(error, ClientDisconnect):
        # The client does not read this answer. It keeps the log free of a false server fault.
        return Fault("client_disconnected", "")
    if not isinstance(error, CodedError):
        if not is_shortage(error):
            raise error
        error = Overloaded(f"the server is short of resources: {evidence(error)}")
    known = PROBLEMS[error.code]
    if known.internal:
        # While the store is unavailable every request fails, so a traceback for each is too much.
        page = error if known.retry_after is None else None
        log.error(
            "request failed by a fault of the server", code=error.code, error=error, exc_info=page
        )
    return error.fault


def facts(fault: Fault) -> dict[str, object]:
    """Return what an answer says of a fault: code, detail, limit, value. No detail of the server's.

    The value is shortened.
    """
    known = PROBLEMS[fault.code]
    text = known.title if known.internal else fault.detail or known.title
    said: dict[str, object] = {"detail": _short(text, _MAX_DETAIL), "code": fault.code}
    if fault.limit is not None:
        said["limit"] = fault.limit
    if fault.value is not None and not known.internal:
        value = fault.value
        said["value"] = _short(value, _MAX_ECHO) if isinstance(value, str) else value
    return said


def _headers(scope: Scope, error: Exception) -> dict[str, str]:
    """Build the headers that HTTP asks for with an error."""
    if isinstance(error, ImageExpiring) and isinstance(error.value, int | float):
        return {"Retry-After": str(math.ceil(error.value))}
    if isinstance(error, RangeNotSatisfiable):
        return {"Content-Range": f"bytes */{error.limit}"}
    if isinstance(error, UnsupportedContentEncoding):
        return {"Accept-Encoding": "identity"}
    if isinstance(error, UnsupportedMediaType):
        return {"Accept": ACCEPTED_BATCHES if scope["path"] == BATCH_PATH else ACCEPTED}
    if isinstance(error, CodedError) and (
        PROBLEMS[error.code].status == HTTPStatus.UNAUTHORIZED or isinstance(error, Forbidden)
    ):
        return _challenge(error)
    return {}


def _challenge(error: CodedError) -> dict[str, str]:
    """Build `WWW-Authenticate` (RFC 6750, 3), without an error code if no key was sent."""
    challenge = 'Bearer realm="pixlake"'
    if isinstance(error, Forbidden):
        challenge += f', error="insufficient_scope", scope="{error.value}"'
    elif not isinstance(error, Unauthorized):
        challenge += ', error="invalid_token"'
    return {"WWW-Authenticate": challenge}


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [
        {"where": ".".join(str(part) for part in fault["loc"]), "what": str(fault["msg"])}
        for fault in error.errors()
    ]
    detail = "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults)
    return problem(request.scope, Fault("invalid_request", detail), errors=faults)


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    code = _BY_STATUS.get(error.status_code, "invalid_request")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    fault = Fault(code, error.detail)
    return problem(request.scope, fault, headers=headers, status=error.status_code)


def _methods(request: Request) -> list[str]:
    """List the methods of all routes of a path; Starlette lists the methods of one route only."""
    app: FastAPI = request.app

    def takes(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in app.routes)

    return sorted(filter(takes, HTTPMethod))


def _short(text: str, limit: int) -> str:
    # The JSON encoder fails for lone surrogates.
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"
