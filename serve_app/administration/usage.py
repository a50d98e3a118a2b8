"""Routes `/v1/usage` and `/v1/tenants/{name}/usage`: images, bytes and refusals by day."""

import datetime as dt
from datetime import UTC, datetime, timedelta
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from serve_app.accounts import READ, Principal
from serve_app.accounts.usage import KEEP_DAYS, DayUsage
from serve_app.administration.changes import REFUSALS_OF_TENANTS, Admin, calls_of
from serve_app.administration.tenants import Name
from serve_app.auth import need
from serve_app.errors import InvalidRequest
from serve_app.openapi_examples import exampled
from serve_app.problems import problem_responses

router = APIRouter()

MAX_DAYS = 92
"""Largest number of days of one answer."""
_DEFAULT_DAYS = 7

Reader = Annotated[Principal, Depends(need(READ))]
First = Annotated[
    dt.date | None,
    Query(alias="from", description="first day (UTC); default: six days before the last"),
]
Last = Annotated[dt.date | None, Query(alias="to", description="last day (UTC); default: today")]
Key = Annotated[
    str | None,
    Query(
        pattern="^[0-9a-f]{12}$",
        description="prefix of a key; default: all keys",
        examples=["0f3a11c09b7e"],
    ),
]


class DayUsageView(BaseModel):
    """Usage of one day."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    day: dt.date = Field(description="day of UTC")
    images: int = Field(description="new images by HTTP")
    bytes_in: int = Field(description="bytes of those images")
    bytes_out: int = Field(description="bytes of the bodies of all answers, as they were sent")
    refusals: dict[str, int] = Field(description="refused requests by error code")

    @classmethod
    def of(cls, usage: DayUsage) -> Self:
        """Build the view of a day."""
        return cls(
            day=usage.day,
            images=usage.images,
            bytes_in=usage.bytes_in,
            bytes_out=usage.bytes_out,
            refusals=usage.refusals,
        )


class UsageView(BaseModel):
    """Usage of a tenant or of one of its keys, oldest day first."""

    model_config = ConfigDict(
        json_schema_extra=exampled(
            {
                "tenant": "cams",
                "key": None,
                "days": [
                    {
                        "day": "2026-12-03",
                        "images": 3,
                        "bytes_in": 81_344,
                        "bytes_out": 9_411,
                        "refusals": {"not_an_image": 1},
                    }
                ],
            }
        )
    )

    tenant: str
    key: str | None = Field(description="prefix of the key; null: all keys of the tenant")
    days: list[DayUsageView]


@router.get(
    "/v1/usage", tags=["usage"], summary="Usage of the own tenant", responses=problem_responses()
)
async def show_usage(
    request: Request, principal: Reader, first: First = None, last: Last = None, key: Key = None
) -> UsageView:
    """Return the usage of the tenant of the key that asks, by day."""
    return await _usage(request, principal.tenant, first, last, key)


@router.get(
    "/v1/tenants/{name}/usage",
    tags=["tenants"],
    summary="Usage of a tenant",
    responses=REFUSALS_OF_TENANTS,
)
async def show_tenant_usage(
    request: Request,
    principal: Admin,
    name: Name,
    *,
    first: First = None,
    last: Last = None,
    key: Key = None,
) -> UsageView:
    """Return the usage of any tenant, by day."""
    del principal  # only the scope of the key is needed
    await calls_of(request).run(lambda accounts: accounts.tenants.find(name))
    return await _usage(request, name, first, last, key)


async def _usage(
    request: Request, tenant: str, first: dt.date | None, last: dt.date | None, key: str | None
) -> UsageView:
    today = datetime.now(UTC).date()
    oldest, until = today - timedelta(days=KEEP_DAYS), min(last or today, today)
    begin = first or max(oldest, until) - timedelta(days=_DEFAULT_DAYS - 1)
    if first is not None and first > until:
        end = f"`to`, {last}" if last is not None and last <= today else f"today, {today}"
        raise InvalidRequest(f"`from`, {first}, is after {end}", value=f"{first} > {until}")
    if (earliest := min(begin, until)) < oldest:
        raise InvalidRequest(
            f"usage is kept {KEEP_DAYS} days", limit=KEEP_DAYS, value=str(earliest)
        )
    if (days := (until - begin).days + 1) > MAX_DAYS:
        raise InvalidRequest("too many days for one answer", limit=MAX_DAYS, value=days)
    found = await calls_of(request).run(
        lambda accounts: accounts.usage.days(tenant, begin, until, key=key)
    )
    return UsageView(tenant=tenant, key=key, days=[DayUsageView.of(each) for each in found])
