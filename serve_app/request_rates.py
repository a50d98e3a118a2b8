"""Request rates of keys and tenants: a limit in requests a second, and the headers that tell it.

The headers follow draft-ietf-httpapi-ratelimit-headers-11.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Final

import throttled.asyncio
from starlette.types import Scope
from throttled import MemoryStore, RateLimiterType, RateLimitState, Throttled, per_sec

from serve_app.accounts import Principal
from serve_app.cache.connection import KEY_PREFIX, CacheAway, CacheConnection
from serve_app.cache.shared_store import SharedStore
from serve_app.errors import RateLimited
from serve_app.settings import ServeSettings

# Senders of one limit that are remembered in this process; the longest idle one is forgotten first.
# A forgotten sender may send at once what it may send in a second. An entry takes about 0.2 kB.
_MAX_SENDERS = 16_384
# Place of the headers in the scope of a request.
_STATE: Final = "rate_limit_headers"


@dataclass(frozen=True, slots=True)
class _Limit:
    """Limit of one kind of sender; `name` is its name in the headers.

    `shared` counts in the cache for all processes, `own` in this process only.
    """

    name: str
    quota: int
    own: Throttled
    shared: throttled.asyncio.Throttled | None

    @classmethod
    def of(cls, name: str, quota: int, cache: CacheConnection | None) -> "_Limit":
        """Create a limit of `quota` requests a second, which may come at once."""
        gcra, rate = RateLimiterType.GCRA.value, per_sec(quota, burst=quota)
        own = Throttled(
            using=gcra, quota=rate, store=MemoryStore(options={"MAX_SIZE": _MAX_SENDERS})
        )
        shared = (
            None
            if cache is None
            else throttled.asyncio.Throttled(
                using=gcra,
                quota=rate,
                store=SharedStore(cache),
                key_prefix=f"{KEY_PREFIX}:requests:{name}",
            )
        )
        return cls(name, quota, own, shared)


class RequestRates:
    """Counter of requests by key and by tenant (generic cell rate algorithm).

    With a cache, all processes count together. While the cache does not answer, and without one,
    this process counts by itself.
    """

    def __init__(
        self, of_key: int | None, of_tenant: int | None, cache: CacheConnection | None = None
    ) -> None:
        quotas = {"key": of_key, "tenant": of_tenant}
        self._cache = cache
        self._limits = [_Limit.of(name, quota, cache) for name, quota in quotas.items() if quota]
        self._policy = ", ".join(f'"{limit.name}";q={limit.quota};w=1' for limit in self._limits)

    @classmethod
    def by(cls, settings: ServeSettings, cache: CacheConnection | None) -> "RequestRates":
        """Create the counter with the limits of the settings."""
        return cls(settings.key_requests_per_second, settings.tenant_requests_per_second, cache)

    async def count(self, sender: Principal, scope: Scope) -> None:
        """Count a request of a sender, and note the headers of its answer; raises RateLimited.

        A refused request counts for neither key nor tenant. With a cache, a request that another
        process refuses at the same moment may count for one of them.
        """
        if not self._limits:
            return
        names = {"key": sender.prefix, "tenant": sender.tenant}
        senders = [names[limit.name] for limit in self._limits]
        states, full = await self._counted(senders)
        self._note(scope, states)
        if full is not None:
            raise RateLimited(
                f"this {full.name} sends too many requests a second", limit=full.quota
            )

    async def _counted(self, senders: list[str]) -> tuple[list[RateLimitState], _Limit | None]:
        """Count a request; returns the state of each limit, and the first limit that refuses it."""
        if self._cache is not None:
            try:
                return await self._cache.call(lambda: self._counted_by_all(senders))
            except CacheAway:
                pass
        return self._counted_here(senders)

    def _counted_here(self, senders: list[str]) -> tuple[list[RateLimitState], _Limit | None]:
        states = [limit.own.peek(name) for limit, name in zip(self._limits, senders, strict=True)]
        full = self._first_full(states)
        if full is None:
            # The event loop is the only thread that counts, so nothing has changed since `peek`.
            states = [
                limit.own.limit(name).state
                for limit, name in zip(self._limits, senders, strict=True)
            ]
        return states, full

    async def _counted_by_all(
        self, senders: list[str]
    ) -> tuple[list[RateLimitState], _Limit | None]:
        shared = [limit.shared for limit in self._limits if limit.shared is not None]
        pairs = list(zip(shared, senders, strict=True))
        if len(pairs) > 1:
            states = list(await asyncio.gather(*(bucket.peek(name) for bucket, name in pairs)))
            if (full := self._first_full(states)) is not None:
                return states, full
        results = await asyncio.gather(*(bucket.limit(name) for bucket, name in pairs))
        refused = (
            limit for limit, result in zip(self._limits, results, strict=True) if result.limited
        )
        return [result.state for result in results], next(refused, None)

    def _first_full(self, states: list[RateLimitState]) -> _Limit | None:
        full = (
            limit for limit, state in zip(self._limits, states, strict=True) if state.remaining < 1
        )
        return next(full, None)

    def _note(self, scope: Scope, states: list[RateLimitState]) -> None:
        left = ", ".join(
            f'"{limit.name}";r={state.remaining};t={math.ceil(state.reset_after)}'
            for limit, state in zip(self._limits, states, strict=True)
        )
        scope.setdefault("state", {})[_STATE] = {
            "RateLimit-Policy": self._policy,
            "RateLimit": left,
        }


def rate_headers(scope: Scope) -> dict[str, str]:
    """Return the headers of the answer to a counted request; empty for other requests."""
    headers: dict[str, str] = scope.get("state", {}).get(_STATE, {})
    return headers
