"""Shares of a limit: one tenant, or one key of a tenant, leaves room while others come."""

import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import TypeVar

# What is under way belongs to a tenant and one of its keys.
Holder = tuple[str, str]
_Name = TypeVar("_Name")

# A tenant or key that came this lately, in seconds, keeps the others from taking all.
_ACTIVE_SECONDS = 60.0
# The part of a limit that one of several active ones may take.
_PART = 0.5
# Holders that are remembered at most; the longest idle ones go first.
_MAX_REMEMBERED = 4096
# Holders looked at in one visit: more than come in one, so that none stays for long.
_LOOK_AT = 4


class Shares:
    """How much of one limit each holder has, and how much of it each may have.

    Alone, a holder may take everything. While another tenant is active it may take half, and
    while another key of its tenant is active half of what the tenant may.
    """

    def __init__(self, limit: int, now: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._now = now
        self._held: Counter[Holder] = Counter()
        self._held_by_tenant: Counter[str] = Counter()
        self.held = 0
        """what all holders have together"""
        # In the order of the last visit, the oldest first.
        self._seen: dict[Holder, float] = {}
        # How many active keys each active tenant has.
        self._keys: Counter[str] = Counter()

    def room(self, holder: Holder, count: int) -> tuple[int, int] | None:
        """None if `holder` may have `count` more, otherwise the limit and what it would have."""
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

    def add(self, holder: Holder, count: int) -> None:
        """Give `count` more to the holder, or take it back; the caller asked `room`."""
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
    """Add to a count, and keep none of 0."""
    counts[name] += by
    if not counts[name]:
        del counts[name]
