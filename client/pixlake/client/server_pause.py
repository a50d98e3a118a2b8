"""Pause that the server asked for, shared by all threads of a client."""

import time

from pixlake.client.answers import Again

# A Retry-After of up to a second delays only one upload; other uploads may succeed meanwhile.
_SHORT_SECONDS = 1.0
_TOO_MANY_REQUESTS = 429
# Error codes that concern a single image.
_OF_AN_IMAGE = frozenset({"image_expiring", "answer_timeout", "attempt_too_old"})


class ServerPause:
    """Pause that all threads of a client observe before their next request."""

    def __init__(self) -> None:
        self.told: Again | None = None
        """answer that asked for the pause"""
        self._ends = 0.0

    def record(self, failure: Again) -> None:
        """Start the pause that an answer asks for, if it applies to all requests."""
        seconds, problem = failure.retry_after, failure.problem
        if seconds is None or problem is None or problem.code in _OF_AN_IMAGE:
            return
        if problem.status == _TOO_MANY_REQUESTS or seconds > _SHORT_SECONDS:
            self.told = failure
            self._ends = max(self._ends, time.monotonic() + seconds)

    def seconds_left(self) -> float:
        """Seconds until the end of the pause."""
        return max(0.0, self._ends - time.monotonic())
