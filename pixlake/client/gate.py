"""A pause that the server asked for, kept by all threads of a client."""

import time

from pixlake.client.answers import Again

# A second is asked of one upload that found no room; others may have got in meanwhile.
_SHORT_SECONDS = 1.0
_TOO_MANY_REQUESTS = 429
# What is about one image alone.
_OF_AN_IMAGE = frozenset({"image_expiring", "answer_timeout", "attempt_too_old"})


class Gate:
    """Shut until the moment before which nobody needs to ask again."""

    def __init__(self) -> None:
        self.told: Again | None = None
        """the answer that asked for the pause"""
        self._opens = 0.0

    def heed(self, told: Again) -> None:
        """Keep the pause that an answer asked for, where it is meant for every request."""
        seconds, problem = told.retry_after, told.problem
        if seconds is None or problem is None or problem.code in _OF_AN_IMAGE:
            return
        if problem.status == _TOO_MANY_REQUESTS or seconds > _SHORT_SECONDS:
            self.told = told
            self._opens = max(self._opens, time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds until it opens."""
        return max(0.0, self._opens - time.monotonic())
