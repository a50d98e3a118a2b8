"""Routes `/v1/tenants/{name}/limits` and `/v1/keys/{prefix}/limits`: show and set limits."""

from typing import Annotated, Final, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from serve_app.accounts import Limits, actor_of
from serve_app.accounts.limits import (
    MAX_A_SECOND,
    MAX_BYTES_A_DAY,
    MAX_BYTES_A_SECOND,
    MAX_IMAGES_A_DAY,
)
from serve_app.administration.changes import (
    REFUSALS_OF_KEYS,
    REFUSALS_OF_TENANTS,
    Admin,
    body_of,
    calls_of,
    whole,
)
from serve_app.administration.keys import Prefix
from serve_app.administration.tenants import Name
from serve_app.openapi_examples import exampled
from serve_app.problems import OF_BODIES, problem_responses
from serve_app.upload.json_body import json_body

router = APIRouter()

_Whole = Annotated[int | None, BeforeValidator(whole)]


EXAMPLE: Final[dict[str, JsonValue]] = {
    "requests_per_second": 50,
    "images_per_second": None,
    "bytes_per_second": None,
    "images_per_day": 100_000,
    "bytes_per_day": None,
}
"""Example of limits in the OpenAPI description."""


class LimitsBody(BaseModel):
    """Limits of a tenant or key; a limit that is null or left out is none."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_serialization_defaults_required=True,
        json_schema_extra=exampled(EXAMPLE),
    )

    requests_per_second: _Whole = Field(
        default=None, ge=1, le=MAX_A_SECOND, description="in place of the setting of the service"
    )
    images_per_second: _Whole = Field(
        default=None, ge=1, le=MAX_A_SECOND, description="uploads, repeated ones included"
    )
    bytes_per_second: _Whole = Field(
        default=None,
        ge=1,
        le=MAX_BYTES_A_SECOND,
        description="of the bodies of uploads; one image of the largest size always fits at once",
    )
    images_per_day: _Whole = Field(
        default=None, ge=1, le=MAX_IMAGES_A_DAY, description="new images by HTTP in a day of UTC"
    )
    bytes_per_day: _Whole = Field(
        default=None, ge=1, le=MAX_BYTES_A_DAY, description="bytes of those images"
    )

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """Build the view of limits."""
        return cls(**limits.document())

    def limits(self) -> Limits:
        """Return the limits of an order."""
        return Limits(**self.model_dump())


@router.get(
    "/v1/tenants/{name}/limits",
    tags=["tenants"],
    summary="Show the limits of a tenant",
    responses=REFUSALS_OF_TENANTS,
)
async def show_tenant_limits(request: Request, principal: Admin, name: Name) -> LimitsBody:
    """Return the limits that were set for the tenant."""
    del principal  # only the scope of the key is needed
    found = await calls_of(request).run(lambda accounts: accounts.limits.of_tenant(name))
    return LimitsBody.of(found)


@router.put(
    "/v1/tenants/{name}/limits",
    tags=["tenants"],
    summary="Set the limits of a tenant",
    responses=problem_responses("standby", "tenant_not_found", *OF_BODIES),
    openapi_extra=json_body(LimitsBody),
)
async def set_tenant_limits(request: Request, principal: Admin, name: Name) -> LimitsBody:
    """Replace all limits of a tenant; may be repeated.

    All replicas apply them within PIXLAKE_KEY_CACHE_SECONDS.
    """
    limits = (await body_of(request, LimitsBody)).limits()
    actor = actor_of(principal)
    kept = await calls_of(request).run(
        lambda accounts: accounts.limits.set_tenant(name, limits, actor=actor)
    )
    return LimitsBody.of(kept)


@router.get(
    "/v1/keys/{prefix}/limits",
    tags=["keys"],
    summary="Show the limits of an API key",
    responses=REFUSALS_OF_KEYS,
)
async def show_key_limits(request: Request, principal: Admin, prefix: Prefix) -> LimitsBody:
    """Return the limits that were set for the key."""
    del principal
    found = await calls_of(request).run(lambda accounts: accounts.limits.of_key(prefix))
    return LimitsBody.of(found)


@router.put(
    "/v1/keys/{prefix}/limits",
    tags=["keys"],
    summary="Set the limits of an API key",
    responses=problem_responses("standby", "key_not_found", *OF_BODIES),
    openapi_extra=json_body(LimitsBody),
)
async def set_key_limits(request: Request, principal: Admin, prefix: Prefix) -> LimitsBody:
    """Replace all limits of a key; may be repeated. A rotation gives them to the new key.

    All replicas apply them within PIXLAKE_KEY_CACHE_SECONDS.
    """
    limits = (await body_of(request, LimitsBody)).limits()
    actor = actor_of(principal)
    kept = await calls_of(request).run(
        lambda accounts: accounts.limits.set_key(prefix, limits, actor=actor)
    )
    return LimitsBody.of(kept)
