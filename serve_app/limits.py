"""Route `/v1/limits`: limits of a key and its uploads, for clients to check before they send."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from processors.untrusted_text import MAX_METADATA_BYTES, MAX_METADATA_ENTRIES
from serve_app.accounts import WRITE, Principal
from serve_app.administration.limits import EXAMPLE, LimitsBody
from serve_app.app_context import context_of
from serve_app.auth import need
from serve_app.openapi_examples import exampled
from serve_app.problems import problem_responses

router = APIRouter(tags=["images"])

Writer = Annotated[Principal, Depends(need(WRITE))]


class LimitsView(BaseModel):
    """Limits of an upload and of the rate of requests, and the default preset."""

    model_config = ConfigDict(
        json_schema_extra=exampled(
            {
                "max_bytes": 30_000_000,
                "max_metadata_entries": MAX_METADATA_ENTRIES,
                "max_metadata_bytes": MAX_METADATA_BYTES,
                "default_preset": "web",
                "key_requests_per_second": 50,
                "tenant_requests_per_second": None,
                "key_limits": EXAMPLE,
                "tenant_limits": dict.fromkeys(EXAMPLE),
            }
        )
    )

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


@router.get("/v1/limits", summary="Limits of an upload", responses=problem_responses("standby"))
async def show_limits(request: Request, principal: Writer) -> LimitsView:
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
