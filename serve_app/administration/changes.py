"""Parts that the administrative routes share: the caller's right, calls of accounts, bodies."""

from typing import Annotated, Final, TypeVar

from fastapi import Depends, Query, Request
from pydantic import BaseModel

from serve_app.accounts import ADMIN, Principal
from serve_app.accounts.calls import AccountsCalls
from serve_app.app_context import AppContext, context_of
from serve_app.auth import need
from serve_app.problems import problem_responses
from serve_app.upload.json_body import read_model

Admin = Annotated[Principal, Depends(need(ADMIN))]

DEFAULT_PAGE: Final = 50
MAX_PAGE: Final = 200
"""Default and largest number of entries of a page."""
Count = Annotated[
    int, Query(ge=1, le=MAX_PAGE, description="largest number of entries of the page")
]
MAX_BODY: Final = 16_384
"""Largest body of an administrative request, in bytes."""

REFUSALS: Final = problem_responses("standby")
"""OpenAPI description of the refusals of a route that reads accounts."""
REFUSALS_OF_KEYS: Final = problem_responses("standby", "key_not_found")
REFUSALS_OF_TENANTS: Final = problem_responses("standby", "tenant_not_found")
"""The same for a route with the prefix of a key, or the name of a tenant, in its path."""

M = TypeVar("M", bound=BaseModel)


def calls_of(request: Request) -> AccountsCalls:
    """Return the calls of the app of a request."""
    return context_of(request).accounts


async def body_of(request: Request, model: type[M]) -> M:
    """Read and validate the body of a request. Raises RequestValidationError, InvalidRequest."""
    context: AppContext = context_of(request)
    return await read_model(request, context.settings, MAX_BODY, model)


def whole(value: object) -> object:
    """Convert 3600.0 to 3600: JSON Schema counts both as integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
