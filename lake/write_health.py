"""Whether a store takes writes now, told from the outcome of the last ones."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lake.errors import LakeError, StoreUnavailable, Unavailable

# A failure without a success after it counts for this long, in seconds; then a trial write tells.
# Longer than the second between two questions of a load balancer's probe, so that a failing store
# is seen; short, so that one lost request does not take an idle node out of service.
_FAILURE_SECONDS = 5.0


class WriteHealth:
    """The last success and the last failure of writing to one store."""

    def __init__(self) -> None:
        self._succeeded_at = float("-inf")
        self._failed_at = float("-inf")
        self._error: LakeError = StoreUnavailable("no write was tried yet")

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note how the write inside ends; its errors pass through."""
        try:
            yield
        except Unavailable as error:
            self._error, self._failed_at = error, time.monotonic()
            raise
        except LakeError:
            # A refused condition is an answer: the store works.
            self._succeeded_at = time.monotonic()
            raise
        self._succeeded_at = time.monotonic()

    def check(self) -> None:
        """Raise the last failure while it counts."""
        age = time.monotonic() - self._failed_at
        if self._failed_at > self._succeeded_at and age < _FAILURE_SECONDS:
            raise self._error

    def succeeded_within(self, seconds: float) -> bool:
        """Whether a write succeeded that lately, and none failed since."""
        lately = time.monotonic() - self._succeeded_at < seconds
        return lately and self._succeeded_at > self._failed_at
