"""Counts of requests, images and bytes: of this process, and of all processes in the cache."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from weakref import WeakValueDictionary

from cachetools import LRUCache
from throttled import MemoryStore, RateLimiterType, RateLimitState, Throttled, per_sec

from serve_app.cache.charging import Charging, SharedCharge
from serve_app.cache.connection import KEY_PREFIX, CacheConnection
from serve_app.errors import RateLimited

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
# Questions of one tenant to the server at once: half of the connections of a process.
_QUESTIONS = 4


@dataclass(frozen=True, slots=True)
class Charge:
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


class OwnCounts:
    """Counts of this process (generic cell rate algorithm)."""

    def __init__(self) -> None:
        self._stores = {kind: MemoryStore(options={"MAX_SIZE": _MAX_SENDERS}) for kind in _KINDS}
        self._buckets: LRUCache[tuple[Who, Unit, int, int], Throttled] = LRUCache(_MAX_LIMITS)

    def take(self, charges: Sequence[Charge]) -> tuple[list[RateLimitState], Charge | None]:
        """Count the charges if all fit; returns the states, and the first charge that does not."""
        states = self.look(charges)
        refused = _first_refused(charges, states)
        if refused is None:
            # The event loop is the only thread that counts, so nothing has changed since `look`.
            states = [
                self._bucket(charge).limit(charge.sender, charge.cost).state for charge in charges
            ]
        return states, refused

    def look(self, charges: Sequence[Charge]) -> list[RateLimitState]:
        """Return the states of the limits, and count nothing."""
        return [self._bucket(charge).peek(charge.sender) for charge in charges]

    def follow(self, charges: Sequence[Charge], shared: Sequence[RateLimitState]) -> None:
        """Count as much as all processes have, so that a lost server gives no sender a new burst.

        The library counts whole requests, so this process may count up to one more.
        """
        for charge, ours, theirs in zip(charges, self.look(charges), shared, strict=True):
            if (more := ours.remaining - theirs.remaining) > 0:
                self._bucket(charge).limit(charge.sender, more)

    def _bucket(self, charge: Charge) -> Throttled:
        known = (charge.who, charge.unit, charge.quota, charge.burst)
        if (found := self._buckets.get(known)) is None:
            found = self._buckets[known] = Throttled(
                using=RateLimiterType.GCRA.value,
                quota=per_sec(charge.quota, burst=charge.burst),
                store=self._stores[charge.who, charge.unit],
            )
        return found


class _Refusals:
    """Limits that the server found used up, until a charge fits again. Its clock is monotonic."""

    def __init__(self) -> None:
        # Times at which all of a limit is available again.
        self._full_at: LRUCache[tuple[Who, str, Unit, int, int], float] = LRUCache(_MAX_SENDERS)

    def note(self, charge: Charge, state: RateLimitState, asked_at: float) -> None:
        """Note a refusal; `asked_at`: before the question, so the note never ends too late."""
        self._full_at[_limit_of(charge)] = asked_at + state.reset_after

    def state(self, charge: Charge) -> RateLimitState | None:
        """State of the limit by the last refusal, if that still refuses the charge."""
        full_at = self._full_at.get(_limit_of(charge))
        if full_at is None:
            return None
        reset_after = full_at - time.monotonic()
        remaining = math.floor(charge.burst - reset_after * charge.quota)
        if remaining >= charge.cost:
            return None
        return RateLimitState(charge.burst, max(0, remaining), reset_after, 0)


class SharedCounts:
    """Counts of all processes, in the cache.

    A request that another refusal refuses asks the server nothing. A tenant has a few questions
    at once; the others wait for a turn, and for no longer than a question may take. So neither
    many requests above a limit nor a burst keep the connections from other tenants.
    """

    def __init__(self, cache: CacheConnection, own: OwnCounts) -> None:
        self._cache = cache
        self._charging = Charging(cache.client)
        self._own = own
        self._refusals = _Refusals()
        # A semaphore is forgotten when nobody holds it or waits for it.
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def take(
        self, charges: Sequence[Charge], tenant: str
    ) -> tuple[list[RateLimitState], Charge | None]:
        """Count the charges if all fit, as `OwnCounts` does; raises CacheAway."""
        if (found := self._remembered(charges)) is not None:
            return found
        return await self._cache.call(lambda: self._asked(charges, tenant))

    async def _asked(
        self, charges: Sequence[Charge], tenant: str
    ) -> tuple[list[RateLimitState], Charge | None]:
        async with self._turns.setdefault(tenant, asyncio.Semaphore(_QUESTIONS)):
            # The answer to another request may have come while this one waited.
            if (found := self._remembered(charges)) is not None:
                return found
            asked_at = time.monotonic()
            states, place = await self._charging.take([_shared(charge) for charge in charges])
        self._own.follow(charges, states)
        if place is None:
            return states, None
        self._refusals.note(charges[place], states[place], asked_at)
        return states, charges[place]

    def _remembered(
        self, charges: Sequence[Charge]
    ) -> tuple[list[RateLimitState], Charge | None] | None:
        for place, charge in enumerate(charges):
            if (state := self._refusals.state(charge)) is not None:
                states = self._own.look(charges)
                states[place] = state
                return states, charge
        return None


def _limit_of(charge: Charge) -> tuple[Who, str, Unit, int, int]:
    return charge.who, charge.sender, charge.unit, charge.quota, charge.burst


def _shared(charge: Charge) -> SharedCharge:
    name = f"{KEY_PREFIX}:{charge.unit}:{charge.who}:{charge.sender}"
    return SharedCharge(name, charge.quota, charge.burst, charge.cost)


def _first_refused(charges: Sequence[Charge], states: list[RateLimitState]) -> Charge | None:
    pairs = zip(charges, states, strict=True)
    return next((charge for charge, state in pairs if state.remaining < charge.cost), None)
