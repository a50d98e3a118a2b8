"""Limits of a day of UTC: new images and their bytes, of a key and of its tenant.

They count what all processes have added to the accounts database, what this process has counted
since, and what its uploads under way may still add. Another process's counts come with its next
addition, so processes together may exceed a limit by what they accept within two seconds.
"""

import math
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

from starlette.types import Scope

from lake.commit.requests import LookUp
from serve_app.accounts import Principal
from serve_app.accounts.usage import BYTES_IN, IMAGES
from serve_app.errors import QuotaExceeded
from serve_app.rate_counts import Who
from serve_app.rates import note_headers
from serve_app.usage_counts import UsageCounts

_DAY_SECONDS: Final = 86_400


class _Quota(NamedTuple):
    who: Who
    unit: Literal["images", "bytes"]
    limit: int


class DayLimits:
    """Limits of a day, checked before an upload is read and again once its size is known."""

    def __init__(self, counts: UsageCounts) -> None:
        self._counts = counts

    async def reserve(
        self,
        sender: Principal,
        scope: Scope,
        size: int,
        early: Awaitable[LookUp | None] | None = None,
    ) -> "Reservation":
        """Reserve an image of so many bytes; raises QuotaExceeded.

        `early`: look-up of the image of the request's key.
        """
        quotas = _quotas(sender)
        if quotas:
            await self._counts.learn(sender.tenant)
        reservation = Reservation(self, sender, scope, early)
        await reservation.resize(size)
        return reservation

    def hold(self, sender: Principal, scope: Scope, size: int) -> bool:
        """Reserve an image if it fits; returns False without a limit. Raises QuotaExceeded."""
        quotas = _quotas(sender)
        for quota in quotas:
            self._check(sender, scope, quota, 1 if quota.unit == "images" else size)
        if quotas:
            self._counts.hold(sender, 1, size)
        return bool(quotas)

    def release(self, sender: Principal, size: int) -> None:
        """End a reservation."""
        self._counts.hold(sender, -1, -size)

    def _check(self, sender: Principal, scope: Scope, quota: _Quota, more: int) -> None:
        key = sender.prefix if quota.who == "key" else None
        counter = IMAGES if quota.unit == "images" else BYTES_IN
        used, seconds = self._counts.used(sender.tenant, key, counter), self.rest_of_day()
        fits = used + more <= quota.limit
        name = f"{quota.who}-{quota.unit}-day"
        unit = ';qu="content-bytes"' if quota.unit == "bytes" else ""
        left = max(0, quota.limit - used - (more if fits else 0))
        note_headers(
            scope,
            policies=[f'"{name}";q={quota.limit};w={_DAY_SECONDS}{unit}'],
            left=[f'"{name}";r={left};t={seconds}'],
        )
        if not fits:
            raise QuotaExceeded(
                f"this {quota.who} has used its {quota.unit} of this day (UTC)",
                limit=quota.limit,
                value=used + more,
            )

    def rest_of_day(self) -> int:
        """Return the seconds until midnight, rounded up."""
        now = self._counts.now()
        midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
        return max(1, math.ceil((midnight - now).total_seconds()))


class Reservation:
    """Place of one upload within the limits of the day, until the upload has ended."""

    def __init__(
        self,
        limits: DayLimits,
        sender: Principal,
        scope: Scope,
        early: Awaitable[LookUp | None] | None,
    ) -> None:
        self._limits = limits
        self._sender = sender
        self._scope = scope
        self._early = early
        self._size: int | None = None
        self._refused: QuotaExceeded | None = None

    async def resize(self, size: int) -> None:
        """Reserve an image of another size instead; raises QuotaExceeded.

        A request whose key has an image needs no place: it is answered from the record.
        """
        if size == self._size:
            return
        self.release()
        self._refused = None
        try:
            if self._limits.hold(self._sender, self._scope, size):
                self._size = size
        except QuotaExceeded as error:
            self._refused = error
        if self._refused is not None:
            looked = await self._early if self._early is not None else None
            if looked is None or looked.record is None:
                self.check_new()

    def check_new(self) -> None:
        """Raise QuotaExceeded if a new image has no place."""
        if self._refused is not None:
            note_headers(self._scope, retry_after=self._limits.rest_of_day())
            raise self._refused

    def release(self) -> None:
        """End the reservation; further calls have no effect."""
        if self._size is not None:
            self._limits.release(self._sender, self._size)
            self._size = None


def _quotas(sender: Principal) -> list[_Quota]:
    key, tenant = sender.key_limits, sender.tenant_limits
    every: tuple[tuple[Who, Literal["images", "bytes"], int | None], ...] = (
        ("key", "images", key.images_per_day),
        ("tenant", "images", tenant.images_per_day),
        ("key", "bytes", key.bytes_per_day),
        ("tenant", "bytes", tenant.bytes_per_day),
    )
    return [_Quota(who, unit, limit) for who, unit, limit in every if limit is not None]
