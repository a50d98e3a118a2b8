"""Backpressure: limits of messages and bytes in flight. Pure functions; the clock is an argument.

At the limit, reading stops first; the client stops fetching by itself and keeps its buffer. After a
second at the limit, partitions are paused, so that the client can be polled again, as librdkafka
requires. A pause discards the fetched messages. So partitions are not paused at once, and reading
resumes only at one half of the limit.
"""

from typing import Literal

# Shorter than any time-out of the client; longer than a batch usually takes.
HOLD_SECONDS = 1.0
_RESUME_AT = 0.5

Mode = Literal["read", "hold", "pause"]


class Backpressure:
    """Counter of messages and bytes in flight, and the resulting mode."""

    def __init__(self, max_bytes: int, max_messages: int) -> None:
        self._max_bytes = max_bytes
        self._max_messages = max_messages
        self._full_since: float | None = None
        self._paused = False
        self.bytes = 0
        self.messages = 0

    @property
    def room_bytes(self) -> int:
        """Bytes that may still be read; the last message may exceed them."""
        return max(0, self._max_bytes - self.bytes)

    @property
    def room_messages(self) -> int:
        """Messages that may still be read."""
        return max(0, self._max_messages - self.messages)

    def take(self, size: int) -> None:
        """Count a message of `size` bytes."""
        self.bytes += size
        self.messages += 1

    def release(self, size: int) -> None:
        """Subtract a message of `size` bytes."""
        self.bytes -= size
        self.messages -= 1

    def mode(self, now: float) -> Mode:
        """Decide to read, hold or pause; `now` in seconds of any monotonic clock."""
        if self._paused:
            self._paused = not self._at_most(_RESUME_AT)
            return "pause" if self._paused else "read"
        if self.room_bytes and self.room_messages:
            self._full_since = None
            return "read"
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since < HOLD_SECONDS:
            return "hold"
        self._full_since, self._paused = None, True
        return "pause"

    def _at_most(self, share: float) -> bool:
        few = self.messages <= self._max_messages * share
        return few and self.bytes <= self._max_bytes * share
