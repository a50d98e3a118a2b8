"""Health of writes to a store, by the results of the last ones."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from lake.errors import LakeError, StoreUnavailable, Unavailable

# Time in seconds for which a failure counts, unless a write succeeds; then a trial write decides.
# The time is longer than the second between two health probes, so that a failing store is noticed.
# The time is short, so that one lost request does not take an idle node out of service for long.
_FAILURE_SECONDS = 5.0
# Longest wait for a trial write. A store that takes longer accepts no image in a useful time.
_TRIAL_SECONDS = 2.0


class WriteHealth:
    """Times of the last success and the last failure of writes to one store."""

    def __init__(
        self, *, now: Callable[[], float] = time.monotonic, trial_seconds: float = _TRIAL_SECONDS
    ) -> None:
        self._now = now
        self._trial_seconds = trial_seconds
        self._succeeded_at = float("-inf")
        self._failed_at = float("-inf")
        self._trial: asyncio.Future[None] | None = None
        self._error: LakeError = StoreUnavailable("no write was tried yet")
        self.failures = 0
        """number of writes that failed since the start"""

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Context manager that records the result of a write; its errors pass through."""
        try:
            yield
        except Unavailable as error:
            self._error, self._failed_at = error, self._now()
            self.failures += 1
            raise
        except LakeError:
            # A failed condition is a valid answer of a working store.
            self._succeeded_at = self._now()
            raise
        self._succeeded_at = self._now()

    def check(self) -> None:
        """Raise the last failure if it is recent and no write succeeded after it."""
        age = self._now() - self._failed_at
        if self._failed_at > self._succeeded_at and age < _FAILURE_SECONDS:
            raise self._error

    def succeeded_within(self, seconds: float) -> bool:
        """True if a write succeeded within `seconds`, and none failed after it."""
        lately = self._now() - self._succeeded_at < seconds
        return lately and self._succeeded_at > self._failed_at

    async def trial(self, write: Callable[[], Awaitable[None]]) -> None:
        """Make a trial write, or await the running one.

        Raises its error, and StoreUnavailable if it takes too long. The write then continues, so
        that a store that hangs is not asked again and again.
        """
        if self._trial is None or self._trial.done():
            self._trial = asyncio.ensure_future(write())
            self._trial.add_done_callback(_retrieved)
        try:
            async with asyncio.timeout(self._trial_seconds):
                await asyncio.shield(self._trial)
        except TimeoutError as error:
            raise StoreUnavailable(
                f"no answer to a trial write in {self._trial_seconds} s", limit=self._trial_seconds
            ) from error


def _retrieved(trial: asyncio.Future[None]) -> None:
    """Retrieve the error of a trial write whose callers have timed out; asyncio would log it."""
    if not trial.cancelled():
        trial.exception()
