"""Rates of keys and tenants: limits of requests, images and bytes a second, and their headers.

The headers follow draft-ietf-httpapi-ratelimit-headers-11.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.types import Scope
from throttled import RateLimitState

from serve_app.accounts import Limits, Principal
from serve_app.cache.connection import CacheAway, CacheConnection
from serve_app.rate_counts import Charge, OwnCounts, SharedCounts, Unit, Who
from serve_app.settings import ServeSettings

# Place of the headers in the scope of a request.
_STATE: Final = "rate_limit_headers"


class Rates:
    """Counter of requests, images and bytes by key and by tenant.

    A limit of the account comes before that of the settings. With a cache, all processes count
    together; while the cache does not answer, this process counts on from the last answer. Without
    a cache, this process counts by itself.
    """

    def __init__(self, settings: ServeSettings, cache: CacheConnection | None = None) -> None:
        self._of_key = Limits(requests_per_second=settings.key_requests_per_second)
        self._of_tenant = Limits(requests_per_second=settings.tenant_requests_per_second)
        self._largest_body = settings.max_bytes
        self._own = OwnCounts()
        self._shared = None if cache is None else SharedCounts(cache, self._own)

    def requests_per_second(self, sender: Principal) -> tuple[int | None, int | None]:
        """Return the limits of requests of a key and of its tenant; None: no limit."""
        return (
            sender.key_limits.requests_per_second or self._of_key.requests_per_second,
            sender.tenant_limits.requests_per_second or self._of_tenant.requests_per_second,
        )

    async def count_request(self, sender: Principal, scope: Scope) -> None:
        """Count a request, and note the headers of its answer; raises RateLimited.

        A refused request counts for neither key nor tenant.
        """
        of_key, of_tenant = self.requests_per_second(sender)
        if of_key or of_tenant:
            await self._count(sender, _charges(sender, "requests", (of_key, of_tenant)), scope)

    async def count_upload(self, sender: Principal, scope: Scope, size: int | None) -> None:
        """Count an image and the `size` of its body, None if it is not known yet.

        Raises RateLimited; then neither the image nor its bytes count.
        """
        key, tenant = sender.key_limits, sender.tenant_limits
        images = (key.images_per_second, tenant.images_per_second)
        charges = list(_charges(sender, "images", images))
        if size is not None:
            charges += self._bytes(sender, size)
        if charges:
            await self._count(sender, charges, scope)

    async def count_bytes(self, sender: Principal, scope: Scope, size: int) -> None:
        """Count the bytes of a body whose size was not known before; raises RateLimited."""
        if charges := list(self._bytes(sender, size)):
            await self._count(sender, charges, scope)

    def _bytes(self, sender: Principal, size: int) -> Iterable[Charge]:
        quotas = (sender.key_limits.bytes_per_second, sender.tenant_limits.bytes_per_second)
        # The burst has room for an image of the largest size, also if the limit is lower.
        return _charges(sender, "bytes", quotas, at_least=self._largest_body, cost=size)

    async def _count(self, sender: Principal, charges: Iterable[Charge], scope: Scope) -> None:
        asked = list(charges)
        states, refused = await self._counted(asked, sender.tenant)
        pairs = list(zip(asked, states, strict=True))
        note_headers(
            scope,
            policies=[charge.policy for charge in asked],
            left=[charge.left(state) for charge, state in pairs],
        )
        for charge, state in pairs:
            if charge is refused:
                error, seconds = charge.refusal(state)
                note_headers(scope, retry_after=seconds)
                raise error

    async def _counted(
        self, charges: Sequence[Charge], tenant: str
    ) -> tuple[list[RateLimitState], Charge | None]:
        if self._shared is not None:
            try:
                return await self._shared.take(charges, tenant)
            except CacheAway:
                pass
        return self._own.take(charges)


def _charges(
    sender: Principal,
    unit: Unit,
    quotas: tuple[int | None, int | None],
    *,
    at_least: int = 1,
    cost: int = 1,
) -> Iterable[Charge]:
    """List the charges of a key and its tenant for those limits that are set."""
    senders: tuple[tuple[Who, str], ...] = (("key", sender.prefix), ("tenant", sender.tenant))
    for (who, name), quota in zip(senders, quotas, strict=True):
        if quota:
            burst = max(quota, at_least)
            yield Charge(who, name, unit, quota, burst, min(cost, burst))


def note_headers(
    scope: Scope,
    *,
    policies: Iterable[str] = (),
    left: Iterable[str] = (),
    retry_after: int | None = None,
) -> None:
    """Note headers of the answer: items of RateLimit-Policy and RateLimit, and Retry-After.

    An item of a limit that is noted already is replaced.
    """
    noted = scope.setdefault("state", {}).setdefault(_STATE, {})
    for name, items in (("RateLimit-Policy", policies), ("RateLimit", left)):
        if items := list(items):
            old = [item for item in noted.get(name, "").split(", ") if item]
            new = {item.split(";")[0]: item for item in [*old, *items]}
            noted[name] = ", ".join(new.values())
    if retry_after is not None:
        noted["Retry-After"] = str(retry_after)


def rate_headers(scope: Scope) -> dict[str, str]:
    """Return the headers of the answer to a counted request; empty for other requests."""
    headers: dict[str, str] = scope.get("state", {}).get(_STATE, {})
    return headers
