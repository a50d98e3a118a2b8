"""Fair shares of a limit between tenants, and between the keys of a tenant."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from itertools import accumulate, islice
from typing import TypeVar

# Tenant, and the key of the tenant that an upload came with.
Holder = tuple[str, str]
_Name = TypeVar("_Name")

# Time after a request, in seconds, in which a tenant or key counts as active.
_ACTIVE_SECONDS = 60.0
# Largest part of a limit for each of several active tenants or keys. The rest is free for a tenant
# that begins, whose need is not known yet.
_PART = 0.5
# After this time, in seconds, a usage counts half in a tenant's mean.
_HALF_LIFE_SECONDS = 5.0
# Need of a tenant in proportion to its mean usage. The difference is room for bursts, and lets a
# tenant that was refused a part of its need grow.
_HEADROOM = 1.25
# Time for which computed needs are used, in seconds; with 4,096 tenants they take a millisecond.
_FRESH_SECONDS = 0.25
# Largest number of remembered holders; the longest idle ones are removed first.
_MAX_REMEMBERED = 4096
# Holders checked for expiry in one visit: several, so that expired holders are removed soon.
_LOOK_AT = 4


class Shares:
    """Usage of one limit by holder, and the share that each holder may use (max-min fairness).

    A single holder may use the whole limit. While other tenants are active, a tenant may use what
    they do not need, at most half and at least an equal share. The need of a tenant is its mean
    usage within some seconds, with headroom. While another key of the tenant is active, a key may
    use half of the tenant's share.
    """

    def __init__(self, limit: int, now: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._now = now
        self._held: Counter[Holder] = Counter()
        self._held_by_tenant: Counter[str] = Counter()
        self.held = 0
        """Usage of all holders together."""
        # Time of the last visit, oldest first.
        self._seen: dict[Holder, float] = {}
        # Number of active keys of each active tenant.
        self._keys: Counter[str] = Counter()
        self._means: dict[str, _Mean] = {}
        self._needs = _Needs(limit, {})
        self._needs_at = now()

    def room(self, holder: Holder, count: int) -> tuple[int, int] | None:
        """Return the limit and the resulting usage if `holder` may not use `count` more."""
        self._visit(holder)
        tenant, _ = holder
        of_tenant = self._tenant_share(tenant)
        of_key = of_tenant if self._keys[tenant] <= 1 else max(1, int(of_tenant * _PART))
        checks = (
            (self.limit, self.held),
            (of_tenant, self._held_by_tenant[tenant]),
            (of_key, self._held[holder]),
        )
        for limit, held in checks:
            if held + count > limit:
                return limit, held + count
        return None

    def of(self, holder: Holder) -> tuple[int, int]:
        """Return the usage of the holder's tenant, and of the holder."""
        return self._held_by_tenant[holder[0]], self._held[holder]

    def add(self, holder: Holder, count: int) -> None:
        """Add `count`, which may be negative, to the holder's usage; call `room` first."""
        tenant, now = holder[0], self._now()
        mean = self._means.get(tenant)
        if mean is not None:
            mean.note(self._held_by_tenant[tenant], now)
        self.held += count
        _change(self._held, holder, count)
        _change(self._held_by_tenant, tenant, count)

    def _tenant_share(self, tenant: str) -> int:
        if len(self._keys) <= 1:
            return self.limit
        now = self._now()
        # A tenant may have come in the moment in which another one was forgotten.
        known = self._needs.has(tenant) and self._needs.count == len(self._keys)
        if not known or now - self._needs_at > _FRESH_SECONDS:
            needs = {
                name: _HEADROOM * mean.at(self._held_by_tenant[name], now)
                for name, mean in self._means.items()
            }
            self._needs, self._needs_at = _Needs(self.limit, needs), now
        return max(1, int(min(self._needs.left_for(tenant), self.limit * _PART)))

    def _visit(self, holder: Holder) -> None:
        now = self._now()
        if self._seen.pop(holder, None) is None:
            self._keys[holder[0]] += 1
            self._means.setdefault(holder[0], _Mean(now))
        self._seen[holder] = now
        for other, seen in list(islice(self._seen.items(), _LOOK_AT)):
            if now - seen > _ACTIVE_SECONDS or len(self._seen) > _MAX_REMEMBERED:
                self._forget(other)

    def _forget(self, holder: Holder) -> None:
        del self._seen[holder]
        _change(self._keys, holder[0], -1)
        if holder[0] not in self._keys:
            del self._means[holder[0]]


class _Mean:
    """Mean usage of a tenant; older usage counts less."""

    def __init__(self, now: float) -> None:
        self._mean = 0.0
        self._at = now

    def at(self, held: int, now: float) -> float:
        """Return the mean, with a usage of `held` since the last note."""
        weight: float = 0.5 ** ((now - self._at) / _HALF_LIFE_SECONDS)
        return self._mean * weight + held * (1 - weight)

    def note(self, held: int, now: float) -> None:
        """Note that the usage was `held` until now."""
        self._mean, self._at = self.at(held, now), now


class _Needs:
    """Needs of all active tenants at one moment."""

    def __init__(self, limit: int, needs: dict[str, float]) -> None:
        self.count = len(needs)
        self._limit = limit
        self._needs = needs
        self._sorted = sorted(needs.values())
        self._sums = [0.0, *accumulate(self._sorted)]

    def has(self, tenant: str) -> bool:
        """True if the tenant was active at that moment."""
        return tenant in self._needs

    def left_for(self, tenant: str) -> float:
        """Return the max-min fair share of a tenant that could use the whole limit.

        Each other tenant gets its need, at most as much as this tenant. Without the `met` smallest
        needs of the others, the rest is divided equally.
        """
        own = self._needs[tenant]
        place = bisect_left(self._sorted, own)

        def level(met: int) -> float:
            smallest = self._sums[met] if met <= place else self._sums[met + 1] - own
            return (self._limit - smallest) / (self.count - met)

        def is_full(met: int) -> bool:
            """True if the next need is not below the level, so that all further needs are cut."""
            return self._sorted[met if met < place else met + 1] >= level(met)

        return level(bisect_left(range(self.count - 1), True, key=is_full))


def _change(counts: Counter[_Name], name: _Name, by: int) -> None:
    """Add to a count; a count of 0 is removed."""
    counts[name] += by
    if not counts[name]:
        del counts[name]
