"""Route `/v1/limits`: limits of a key and its uploads, for clients to check before they send."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from processors.untrusted_text import MAX_METADATA_BYTES, MAX_METADATA_ENTRIES
from serve_app.accounts import WRITE, Principal
from serve_app.administration.limits import LimitsBody
from serve_app.app_context import context_of
from serve_app.auth import need
from serve_app.problems import problem_responses

router = APIRouter(tags=["images"], responses=problem_responses(401, 403, 422, 503))

Writer = Annotated[Principal, Depends(need(WRITE))]


class LimitsView(BaseModel):
    """Limits of an upload and of the rate of requests, and the default preset."""

    max_bytes: int = Field(description="largest image in bytes")
    max_metadata_entries: int
    max_metadata_bytes: int = Field(description="size of all names and values together")
    default_preset: str
    key_requests_per_second: int | None = Field(
        description="requests a second of this key; null: no limit"
    )
    tenant_requests_per_second: int | None = Field(
        description="requests a second of the whole tenant; null: no limit"
    )
    key_limits: LimitsBody = Field(description="limits that were set for this key")
    tenant_limits: LimitsBody = Field(description="limits that were set for the tenant")


@router.get("/v1/limits", summary="Limits of an upload")
async def limits(request: Request, principal: Writer) -> LimitsView:
    """Return the limits. Ask once before large uploads: a refused body still has to be sent."""
    context = context_of(request)
    settings = context.settings
    of_key, of_tenant = context.rates.requests_per_second(principal)
    return LimitsView(
        max_bytes=settings.max_bytes,
        max_metadata_entries=MAX_METADATA_ENTRIES,
        max_metadata_bytes=MAX_METADATA_BYTES,
        default_preset=settings.default_preset,
        key_requests_per_second=of_key,
        tenant_requests_per_second=of_tenant,
        key_limits=LimitsBody.of(principal.key_limits),
        tenant_limits=LimitsBody.of(principal.tenant_limits),
    )
