"""How much may be under way, and what to do when it is too much: pure, the clock is an argument.

Full: first nothing is read (the client stops fetching by itself, and keeps what it has). Full
for a second: partitions are paused, and the client is served again, for it has to be served.
Pausing throws away what was fetched ahead; hence not at once, and resumed only at one half.
"""

from typing import Literal

# Shorter than any time-out of the client; longer than a batch usually takes.
HOLD_SECONDS = 1.0
_RESUME_AT = 0.5

Mode = Literal["read", "hold", "pause"]


class Intake:
    """Messages and bytes under way, and the mode that follows."""

    def __init__(self, max_bytes: int, max_messages: int) -> None:
        self._max_bytes = max_bytes
        self._max_messages = max_messages
        self._full_since: float | None = None
        self._paused = False
        self.bytes = 0
        self.messages = 0

    @property
    def room_bytes(self) -> int:
        """Bytes that may still be taken; the last message may exceed it."""
        return max(0, self._max_bytes - self.bytes)

    @property
    def room_messages(self) -> int:
        """Messages that may still be taken."""
        return max(0, self._max_messages - self.messages)

    def take(self, size: int) -> None:
        """A message of that many bytes is under way."""
        self.bytes += size
        self.messages += 1

    def release(self, size: int) -> None:
        """It is not any more."""
        self.bytes -= size
        self.messages -= 1

    def mode(self, now: float) -> Mode:
        """What to do now; `now` in seconds of any monotonic clock."""
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
