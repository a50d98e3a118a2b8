"""Progress of the messages in flight: the reason if they stand still."""

import time

from ingest.in_flight import InFlight
from lake.errors import Fault

NO_PROGRESS = "no_progress"
# Factor of the limit for messages that wait without a known failure, because an image may be slow.
_UNEXPLAINED = 6


def unexplained_seconds(limit_seconds: float) -> float:
    """Limit for a standstill without a known failure."""
    return limit_seconds * _UNEXPLAINED


class Progress:
    """Messages in flight, and the time since the last one ended."""

    def __init__(self, limit_seconds: float) -> None:
        """`limit_seconds`: age of a message from which the fault that it waits for counts."""
        self._limit = limit_seconds
        self._flights: set[InFlight] = set()
        self._moved_at = time.monotonic()

    def begin(self, in_flight: InFlight) -> None:
        """Add a message that was read."""
        if not self._flights:
            self._moved_at = time.monotonic()
        self._flights.add(in_flight)

    def end(self, in_flight: InFlight) -> None:
        """Remove a message that was settled."""
        self._flights.discard(in_flight)
        self._moved_at = time.monotonic()

    def stall(self) -> Fault | None:
        """Reason why messages stand still; None while they move."""
        now = time.monotonic()
        ours = [each for each in self._flights if not each.tracked.dropped]
        waiting = [each for each in ours if each.waits_for is not None]
        oldest = min(waiting, key=lambda each: each.taken_at, default=None)
        if oldest is not None and now - oldest.taken_at > self._limit:
            return oldest.waits_for
        if ours and now - self._moved_at > unexplained_seconds(self._limit):
            seconds = round(now - self._moved_at)
            return Fault(NO_PROGRESS, f"no message was finished for {seconds} s", value=seconds)
        return None
