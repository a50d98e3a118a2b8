"""When to try again: exponential backoff with full jitter, under one deadline.

No I/O and no clock here. Every call of the API is safe to repeat: an upload has an identity (its
key or its content), so a retry never makes a second image.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# 501, 505, 507 and their like stay true for longer than anyone waits.
RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retries:
    """How long a call may take in all, and how it waits between tries; all in seconds."""

    deadline: float = 60.0
    first_wait: float = 0.2
    longest_wait: float = 10.0

    def wait(self, tries: int, retry_after: float | None) -> float:
        """Seconds to wait after try number `tries` (from 1): never less than was asked for."""
        step = min(self.longest_wait, self.first_wait * 2.0 ** min(tries - 1, 32))
        return (retry_after or 0.0) + random.uniform(0, step)


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` asks for, a number or a date; None if it says nothing."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
