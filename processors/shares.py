"""Fair shares of a limit between tenants, and between the keys of a tenant."""

import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import TypeVar

# Tenant, and the key of the tenant that an upload came with.
Holder = tuple[str, str]
_Name = TypeVar("_Name")

# Time after a request, in seconds, in which a tenant or key counts as active.
_ACTIVE_SECONDS = 60.0
# Part of a limit for each of several active tenants or keys.
_PART = 0.5
# Largest number of remembered holders; the longest idle ones are removed first.
_MAX_REMEMBERED = 4096
# Holders checked for expiry in one visit: several, so that expired holders are removed soon.
_LOOK_AT = 4


class Shares:
    """Usage of one limit by holder, and the share that each holder may use.

    A single holder may use the whole limit. While another tenant is active, a tenant may use half
    of it. While another key of the tenant is active, a key may use half of the tenant's share.
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

    def room(self, holder: Holder, count: int) -> tuple[int, int] | None:
        """Return the limit and the resulting usage if `holder` may not use `count` more."""
        self._visit(holder)
        tenant, _ = holder
        of_tenant = self._share(self.limit, len(self._keys))
        of_key = self._share(of_tenant, self._keys[tenant])
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
        self.held += count
        _change(self._held, holder, count)
        _change(self._held_by_tenant, holder[0], count)

    @staticmethod
    def _share(limit: int, active: int) -> int:
        return limit if active <= 1 else max(1, int(limit * _PART))

    def _visit(self, holder: Holder) -> None:
        now = self._now()
        if self._seen.pop(holder, None) is None:
            self._keys[holder[0]] += 1
        self._seen[holder] = now
        for other, seen in list(islice(self._seen.items(), _LOOK_AT)):
            if now - seen > _ACTIVE_SECONDS or len(self._seen) > _MAX_REMEMBERED:
                self._forget(other)

    def _forget(self, holder: Holder) -> None:
        del self._seen[holder]
        _change(self._keys, holder[0], -1)


def _change(counts: Counter[_Name], name: _Name, by: int) -> None:
    """Add to a count; a count of 0 is removed."""
    counts[name] += by
    if not counts[name]:
        del counts[name]
