"""Retry policy: exponential backoff with full jitter, and one deadline.

This module has no I/O and no clock. Every call of the API may be repeated: an upload has an
identity (its key or its content), so a retry never creates a second image.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Statuses of short faults. 501, 505, 507 and similar faults last longer than a client waits.
RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})

# Shortest limit of a try: a try that begins just before the deadline can still succeed.
SHORTEST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Retries:
    """Deadline of a call, longest silence of the server, and waits between tries, in seconds.

    The server answers an upload within 50 s of the end of its body (`PIXLAKE_ANSWER_SECONDS`). A
    server that is silent for longer is dead or frozen, and the next try finds another one.
    """

    deadline: float = 120.0
    first_wait: float = 0.2
    longest_wait: float = 10.0
    silence: float = 52.0

    @property
    def try_silence(self) -> float:
        """Longest silence in one try: at most half of the deadline, so that two tries fit."""
        return min(self.silence, max(self.deadline / 2, SHORTEST_SECONDS))

    def wait(self, tries: int, retry_after: float | None) -> float:
        """Return the seconds to wait after try number `tries` (from 1); at least `retry_after`."""
        step = min(self.longest_wait, self.first_wait * 2.0 ** min(tries - 1, 32))
        return (retry_after or 0.0) + random.uniform(0, step)


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Parse `Retry-After`, a number or a date, to seconds; None if missing or invalid."""
    if header is None:
        return None
    if (text := header.strip()).isascii() and text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
