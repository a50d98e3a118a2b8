"""Routes `/v1/tenants`: list, create, suspend and resume tenants."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from lake.layout import TENANT
from serve_app.accounts import TenantInfo, actor_of
from serve_app.administration.changes import (
    DEFAULT_PAGE,
    REFUSALS,
    REFUSALS_OF_TENANTS,
    Admin,
    Count,
    body_of,
    calls_of,
)
from serve_app.openapi_examples import exampled
from serve_app.problems import OF_BODIES, problem_responses
from serve_app.upload.json_body import json_body

router = APIRouter(tags=["tenants"])

Name = Annotated[
    str,
    Path(pattern=TENANT.pattern, max_length=63, description="name of a tenant", examples=["cams"]),
]


_EXAMPLE: dict[str, JsonValue] = {
    "name": "cams",
    "created_at": "2026-11-23T10:00:00Z",
    "suspended_at": None,
    "active_keys": 2,
}


class TenantState(BaseModel):
    """State of a tenant that a request sets."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra=exampled({"suspended": False})
    )

    suspended: bool = Field(
        default=False, description="true: every key of the tenant is refused; its images stay"
    )


class TenantView(BaseModel):
    """Tenant, with its state."""

    model_config = ConfigDict(
        json_schema_serialization_defaults_required=True,
        json_schema_extra=exampled(_EXAMPLE),
    )

    name: str
    created_at: datetime
    suspended_at: datetime | None = Field(default=None, description="null: not suspended")
    active_keys: int = Field(description="keys that are neither revoked nor expired")

    @classmethod
    def of(cls, info: TenantInfo) -> Self:
        """Build the view of a tenant."""
        return cls(
            name=info.name,
            created_at=info.created_at,
            suspended_at=info.suspended_at,
            active_keys=info.active_keys,
        )


class TenantList(BaseModel):
    """Page of tenants, by name."""

    model_config = ConfigDict(json_schema_extra=exampled({"tenants": [_EXAMPLE], "next": None}))

    tenants: list[TenantView]
    next: str | None = Field(description="the cursor of the next page; null on the last page")


@router.get("/v1/tenants", summary="List tenants", responses=REFUSALS)
async def list_tenants(
    request: Request,
    principal: Admin,
    limit: Count = DEFAULT_PAGE,
    cursor: Annotated[str, Query(max_length=63, description="`next` of the page before")] = "",
) -> TenantList:
    """Return one page of tenants, by name."""
    del principal  # only the scope of the key is needed
    found = await calls_of(request).run(
        lambda accounts: accounts.tenants.all(limit + 1, after=cursor)
    )
    page = found[:limit]
    return TenantList(
        tenants=[TenantView.of(info) for info in page],
        next=page[-1].name if len(found) > limit else None,
    )


@router.get("/v1/tenants/{name}", summary="Show a tenant", responses=REFUSALS_OF_TENANTS)
async def show_tenant(request: Request, principal: Admin, name: Name) -> TenantView:
    """Return a tenant."""
    del principal
    return TenantView.of(await calls_of(request).run(lambda accounts: accounts.tenants.find(name)))


@router.put(
    "/v1/tenants/{name}",
    summary="Create, suspend or resume a tenant",
    status_code=201,
    responses={
        200: {"model": TenantView, "description": "The tenant existed; it has the state now"},
        **problem_responses("standby", "invalid_account", *OF_BODIES),
    },
    openapi_extra=json_body(TenantState),
)
async def put_tenant(
    request: Request, response: Response, principal: Admin, name: Name
) -> TenantView:
    """Create the tenant if it is missing, and set its state; may be repeated.

    All replicas refuse the keys of a suspended tenant within PIXLAKE_KEY_CACHE_SECONDS. Its images
    and its Kafka messages are not affected.
    """
    state = await body_of(request, TenantState)
    info, created = await calls_of(request).run(
        lambda accounts: accounts.tenants.put(
            name, suspended=state.suspended, actor=actor_of(principal)
        )
    )
    if not created:
        response.status_code = 200
    response.headers["Location"] = f"/v1/tenants/{name}"
    return TenantView.of(info)
