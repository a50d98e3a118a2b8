"""Sums of one day by tenant and by key; a sum costs the same for any number of keys."""

from collections import Counter


class DayTotals:
    """Counters of keys, each also added to its tenant."""

    def __init__(self) -> None:
        self._sums: Counter[tuple[str, str | None, str]] = Counter()

    def add(self, tenant: str, key: str, counter: str, amount: int) -> None:
        """Add to a counter of a key and of its tenant."""
        for name in ((tenant, key, counter), (tenant, None, counter)):
            self._sums[name] += amount
            if not self._sums[name]:
                del self._sums[name]

    def of(self, tenant: str, key: str | None, counter: str) -> int:
        """Return the sum of a key, or of the whole tenant if `key` is None."""
        return self._sums[tenant, key, counter]
