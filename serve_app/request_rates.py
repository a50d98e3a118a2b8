"""Request rates of keys and tenants: a limit in requests a second, and the headers that tell it.

The headers follow draft-ietf-httpapi-ratelimit-headers-11.
"""

import math
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope
from throttled import MemoryStore, RateLimiterType, RateLimitState, Throttled, per_sec

from serve_app.accounts import Principal
from serve_app.errors import RateLimited
from serve_app.settings import ServeSettings

# Senders of one limit that are remembered; the longest idle one is forgotten first. A forgotten
# sender may send at once what it may send in a second. An entry takes about 0.2 kB.
_MAX_SENDERS = 16_384
# Place of the headers in the scope of a request.
_STATE: Final = "rate_limit_headers"


@dataclass(frozen=True, slots=True)
class _Limit:
    """Limit of one kind of sender; `name` is its name in the headers."""

    name: str
    quota: int
    bucket: Throttled

    @classmethod
    def of(cls, name: str, quota: int) -> "_Limit":
        """Create a limit of `quota` requests a second, which may come at once."""
        bucket = Throttled(
            using=RateLimiterType.GCRA.value,
            quota=per_sec(quota, burst=quota),
            store=MemoryStore(options={"MAX_SIZE": _MAX_SENDERS}),
        )
        return cls(name, quota, bucket)


class RequestRates:
    """Counter of requests in this process, by key and by tenant (generic cell rate algorithm)."""

    def __init__(self, of_key: int | None, of_tenant: int | None) -> None:
        quotas = {"key": of_key, "tenant": of_tenant}
        self._limits = [_Limit.of(name, quota) for name, quota in quotas.items() if quota]
        self._policy = ", ".join(f'"{limit.name}";q={limit.quota};w=1' for limit in self._limits)

    @classmethod
    def by(cls, settings: ServeSettings) -> "RequestRates":
        """Create the counter with the limits of the settings."""
        return cls(settings.key_requests_per_second, settings.tenant_requests_per_second)

    def count(self, sender: Principal, scope: Scope) -> None:
        """Count a request of a sender, and note the headers of its answer; raises RateLimited.

        A refused request counts for neither key nor tenant.
        """
        if not self._limits:
            return
        names = {"key": sender.prefix, "tenant": sender.tenant}
        before = [limit.bucket.peek(names[limit.name]) for limit in self._limits]
        full = [
            limit for limit, state in zip(self._limits, before, strict=True) if state.remaining < 1
        ]
        if full:
            self._note(scope, before)
            raise RateLimited(
                f"this {full[0].name} sends too many requests a second", limit=full[0].quota
            )
        # The event loop is the only thread that counts, so nothing has changed since `peek`.
        after = [limit.bucket.limit(names[limit.name]).state for limit in self._limits]
        self._note(scope, after)

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
