"""Routes `/v1/keys`: create, list, rotate and revoke the API keys of all tenants."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Self

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from lake.layout import TENANT
from serve_app.accounts import IMAGES, Accounts, IssuedKey, KeyInfo, actor_of
from serve_app.accounts.accounts import MAX_NAME
from serve_app.accounts.keys import Scope
from serve_app.administration.changes import (
    DEFAULT_PAGE,
    REFUSALS,
    REFUSALS_OF_KEYS,
    Admin,
    Count,
    body_of,
    calls_of,
    whole,
)
from serve_app.openapi_examples import exampled
from serve_app.problems import OF_BODIES, problem_responses
from serve_app.upload.json_body import json_body

router = APIRouter(tags=["keys"])

Prefix = Annotated[
    str,
    Path(pattern="^[0-9a-f]{12}$", description="the part after `pxl_`", examples=["0f3a11c09b7e"]),
]
Tenant = Annotated[str, Field(pattern=TENANT.pattern, max_length=63)]
_MAX_OVERLAP = int(timedelta(days=90).total_seconds())


_EXAMPLE: dict[str, JsonValue] = {
    "prefix": "0f3a11c09b7e",
    "tenant": "cams",
    "name": "camera 7",
    "scopes": ["images:read", "images:write"],
    "created_at": "2026-11-23T10:00:00Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
}


class NewKey(BaseModel):
    """Order of a new key."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra=exampled({"tenant": "cams", "name": "camera 7"}),
    )

    tenant: Tenant = Field(description="a missing tenant is created")
    name: str = Field(min_length=1, max_length=MAX_NAME, description="label, printable characters")
    scopes: list[Scope] = Field(
        default=sorted(IMAGES), min_length=1, max_length=5, description="what the key may do"
    )
    expires_at: AwareDatetime | None = Field(
        default=None, description="the key is refused from then on; null: never"
    )


class Rotation(BaseModel):
    """Order of a rotation."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra=exampled({"overlap_seconds": 3600})
    )

    overlap_seconds: Annotated[int, BeforeValidator(whole)] = Field(
        default=86_400,
        ge=0,
        le=_MAX_OVERLAP,
        description="how long the old key is accepted beside the new one",
    )


class KeyView(BaseModel):
    """API key without its secret."""

    model_config = ConfigDict(
        json_schema_serialization_defaults_required=True,
        json_schema_extra=exampled(_EXAMPLE),
    )

    prefix: str = Field(description="names the key in lists and logs")
    tenant: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = Field(
        default=None, description="up to ten minutes too early; null: never used"
    )

    @classmethod
    def of(cls, info: KeyInfo) -> Self:
        """Build the view of a key."""
        return cls(
            prefix=info.prefix,
            tenant=info.tenant,
            name=info.name,
            scopes=sorted(info.scopes),
            created_at=info.created_at,
            expires_at=info.expires_at,
            revoked_at=info.revoked_at,
            last_used_at=info.last_used_at,
        )


class CreatedKey(KeyView):
    """New API key. Only this answer has its text; the service stores a hash."""

    model_config = ConfigDict(
        json_schema_extra=exampled({**_EXAMPLE, "key": f"pxl_0f3a11c09b7e_{'5c' * 32}"})
    )

    key: str = Field(description="the secret: send it as `Authorization: Bearer <key>`")


class KeyList(BaseModel):
    """Page of API keys, oldest first."""

    model_config = ConfigDict(json_schema_extra=exampled({"keys": [_EXAMPLE], "next": None}))

    keys: list[KeyView]
    next: str | None = Field(description="the cursor of the next page; null on the last page")


@router.get("/v1/keys", summary="List API keys, oldest first", responses=REFUSALS)
async def list_keys(
    request: Request,
    principal: Admin,
    tenant: Annotated[
        str | None,
        Query(pattern=TENANT.pattern, max_length=63, description="only keys of this tenant"),
    ] = None,
    limit: Count = DEFAULT_PAGE,
    cursor: Annotated[
        str | None, Query(pattern="^[0-9a-f]{12}$", description="`next` of the page before")
    ] = None,
) -> KeyList:
    """Return one page of keys, revoked and expired ones included."""
    del principal  # only the scope of the key is needed
    found = await calls_of(request).run(
        lambda accounts: accounts.keys(tenant=tenant, after=cursor, limit=limit + 1)
    )
    page = found[:limit]
    return KeyList(
        keys=[KeyView.of(info) for info in page],
        next=page[-1].prefix if len(found) > limit else None,
    )


@router.post(
    "/v1/keys",
    summary="Create an API key",
    status_code=201,
    responses=problem_responses("standby", "invalid_account", *OF_BODIES),
    openapi_extra=json_body(NewKey),
)
async def create_key(request: Request, response: Response, principal: Admin) -> CreatedKey:
    """Create a key of any tenant. A repeated request creates another key."""
    new = await body_of(request, NewKey)
    issued = await calls_of(request).run(
        lambda accounts: accounts.create_key(
            new.tenant,
            new.scopes,
            new.name,
            expires_at=None if new.expires_at is None else new.expires_at.astimezone(UTC),
            actor=actor_of(principal),
        )
    )
    return _created(response, issued)


@router.get("/v1/keys/{prefix}", summary="Show an API key", responses=REFUSALS_OF_KEYS)
async def show_key(request: Request, principal: Admin, prefix: Prefix) -> KeyView:
    """Return a key without its secret."""
    del principal
    return KeyView.of(await calls_of(request).run(lambda accounts: accounts.key(prefix)))


@router.post(
    "/v1/keys/{prefix}/rotate",
    summary="Replace an API key",
    status_code=201,
    responses=problem_responses("standby", "key_not_found", "invalid_account", *OF_BODIES),
    openapi_extra=json_body(Rotation),
)
async def rotate_key(
    request: Request, response: Response, principal: Admin, prefix: Prefix
) -> CreatedKey:
    """Create a key with the same tenant, scopes and name; the old key expires after the overlap.

    A key that expires is replaced by a key with the same lifetime.
    """
    order = await body_of(request, Rotation)
    overlap = timedelta(seconds=order.overlap_seconds)
    issued = await calls_of(request).run(
        lambda accounts: accounts.rotate(prefix, overlap, actor=actor_of(principal))
    )
    return _created(response, issued)


@router.post("/v1/keys/{prefix}/revoke", summary="Revoke an API key", responses=REFUSALS_OF_KEYS)
async def revoke_key(request: Request, principal: Admin, prefix: Prefix) -> KeyView:
    """Revoke a key for good; may be repeated. It stays listed.

    All replicas refuse it within PIXLAKE_KEY_CACHE_SECONDS.
    """

    def revoke(accounts: Accounts) -> KeyInfo:
        accounts.revoke(prefix, actor=actor_of(principal))
        return accounts.key(prefix)

    return KeyView.of(await calls_of(request).run(revoke))


def _created(response: Response, issued: IssuedKey) -> CreatedKey:
    response.headers["Location"] = f"/v1/keys/{issued.info.prefix}"
    response.headers["Cache-Control"] = "no-store"
    return CreatedKey(key=issued.text, **KeyView.of(issued.info).model_dump())
