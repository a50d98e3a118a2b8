"""Rates of keys and tenants: limits of requests, images and bytes a second, and their headers.

The headers follow draft-ietf-httpapi-ratelimit-headers-11.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cachetools import LRUCache
from starlette.types import Scope
from throttled import MemoryStore, RateLimiterType, RateLimitState, Throttled, per_sec

from serve_app.accounts import Limits, Principal
from serve_app.cache.charging import Charging, SharedCharge
from serve_app.cache.connection import KEY_PREFIX, CacheAway, CacheConnection
from serve_app.errors import RateLimited
from serve_app.settings import ServeSettings

Who = Literal["key", "tenant"]
Unit = Literal["requests", "images", "bytes"]

# Senders of one kind that are remembered in this process; the longest idle one is forgotten first.
# A forgotten sender may send at once what it may send in a second. An entry takes about 0.2 kB.
_MAX_SENDERS = 16_384
# Different limits that are remembered.
_MAX_LIMITS = 1_024
_KINDS: Final[tuple[tuple[Who, Unit], ...]] = tuple(
    (who, unit) for unit in ("requests", "images", "bytes") for who in ("key", "tenant")
)
# Place of the headers in the scope of a request.
_STATE: Final = "rate_limit_headers"


@dataclass(frozen=True, slots=True)
class _Charge:
    """Use of one limit by one request: `cost` of the `burst` that refills with `quota` a second."""

    who: Who
    sender: str
    unit: Unit
    quota: int
    burst: int
    cost: int

    @property
    def name(self) -> str:
        """Name of the limit in the headers."""
        return self.who if self.unit == "requests" else f"{self.who}-{self.unit}"

    @property
    def policy(self) -> str:
        """Item of RateLimit-Policy: the burst, and the seconds in which it refills."""
        unit = ';qu="content-bytes"' if self.unit == "bytes" else ""
        return f'"{self.name}";q={self.burst};w={math.ceil(self.burst / self.quota)}{unit}'

    def left(self, state: RateLimitState) -> str:
        """Item of RateLimit."""
        return f'"{self.name}";r={state.remaining};t={math.ceil(state.reset_after)}'

    def refusal(self, state: RateLimitState) -> tuple[RateLimited, int]:
        """Build the error of a charge that the limit refuses, and the seconds until it fits."""
        error = RateLimited(
            f"this {self.who} sends too many {self.unit} a second",
            limit=self.quota,
            value=self.cost if self.unit == "bytes" else None,
        )
        return error, max(1, math.ceil((self.cost - state.remaining) / self.quota))


class _OwnCounts:
    """Counts of this process (generic cell rate algorithm)."""

    def __init__(self) -> None:
        self._stores = {kind: MemoryStore(options={"MAX_SIZE": _MAX_SENDERS}) for kind in _KINDS}
        self._buckets: LRUCache[tuple[Who, Unit, int, int], Throttled] = LRUCache(_MAX_LIMITS)

    def take(self, charges: Sequence[_Charge]) -> tuple[list[RateLimitState], _Charge | None]:
        """Count the charges if all fit; returns the states, and the first charge that does not."""
        buckets = [self._bucket(charge) for charge in charges]
        states = [
            bucket.peek(charge.sender) for bucket, charge in zip(buckets, charges, strict=True)
        ]
        refused = _first_refused(charges, states)
        if refused is None:
            # The event loop is the only thread that counts, so nothing has changed since `peek`.
            states = [
                bucket.limit(charge.sender, charge.cost).state
                for bucket, charge in zip(buckets, charges, strict=True)
            ]
        return states, refused

    def _bucket(self, charge: _Charge) -> Throttled:
        known = (charge.who, charge.unit, charge.quota, charge.burst)
        if (found := self._buckets.get(known)) is None:
            found = self._buckets[known] = Throttled(
                using=RateLimiterType.GCRA.value,
                quota=per_sec(charge.quota, burst=charge.burst),
                store=self._stores[charge.who, charge.unit],
            )
        return found


class _SharedCounts:
    """Counts of all processes, in the cache."""

    def __init__(self, cache: CacheConnection) -> None:
        self._charging = Charging(cache)

    async def take(self, charges: Sequence[_Charge]) -> tuple[list[RateLimitState], _Charge | None]:
        """Count the charges if all fit, as `_OwnCounts` does; raises CacheAway."""
        states, refused = await self._charging.take(
            [
                SharedCharge(
                    f"{KEY_PREFIX}:{one.unit}:{one.who}:{one.sender}",
                    one.quota,
                    one.burst,
                    one.cost,
                )
                for one in charges
            ]
        )
        return states, None if refused is None else charges[refused]


class Rates:
    """Counter of requests, images and bytes by key and by tenant.

    A limit of the account comes before that of the settings. With a cache, all processes count
    together. While the cache does not answer, and without one, this process counts by itself.
    """

    def __init__(self, settings: ServeSettings, cache: CacheConnection | None = None) -> None:
        self._of_key = Limits(requests_per_second=settings.key_requests_per_second)
        self._of_tenant = Limits(requests_per_second=settings.tenant_requests_per_second)
        self._largest_body = settings.max_bytes
        self._own = _OwnCounts()
        self._shared = None if cache is None else _SharedCounts(cache)

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
            await self._count(_charges(sender, "requests", (of_key, of_tenant)), scope)

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
            await self._count(charges, scope)

    async def count_bytes(self, sender: Principal, scope: Scope, size: int) -> None:
        """Count the bytes of a body whose size was not known before; raises RateLimited."""
        if charges := list(self._bytes(sender, size)):
            await self._count(charges, scope)

    def _bytes(self, sender: Principal, size: int) -> Iterable[_Charge]:
        quotas = (sender.key_limits.bytes_per_second, sender.tenant_limits.bytes_per_second)
        # The burst has room for an image of the largest size, also if the limit is lower.
        return _charges(sender, "bytes", quotas, at_least=self._largest_body, cost=size)

    async def _count(self, charges: Iterable[_Charge], scope: Scope) -> None:
        asked = list(charges)
        states, refused = await self._counted(asked)
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
        self, charges: Sequence[_Charge]
    ) -> tuple[list[RateLimitState], _Charge | None]:
        if self._shared is not None:
            try:
                return await self._shared.take(charges)
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
) -> Iterable[_Charge]:
    """List the charges of a key and its tenant for those limits that are set."""
    senders: tuple[tuple[Who, str], ...] = (("key", sender.prefix), ("tenant", sender.tenant))
    for (who, name), quota in zip(senders, quotas, strict=True):
        if quota:
            burst = max(quota, at_least)
            yield _Charge(who, name, unit, quota, burst, min(cost, burst))


def _first_refused(charges: Sequence[_Charge], states: list[RateLimitState]) -> _Charge | None:
    pairs = zip(charges, states, strict=True)
    return next((charge for charge, state in pairs if state.remaining < charge.cost), None)


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
