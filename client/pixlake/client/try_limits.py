"""Time limits of one try: a silent server costs one try, and another try fits the deadline."""

from dataclasses import dataclass
from math import inf

import httpx

from pixlake.client.retries import SHORTEST_SECONDS, Retries

_CONNECT_SECONDS = 5.0
# Slowest line, in bytes a second. Sent bytes wait in kernel buffers, and the server can't answer
# before the line has transferred these bytes.
_SLOW_LINE = 16_000
_BUFFERS = 8_000_000


@dataclass(frozen=True, slots=True)
class TryLimits:
    """Limits of one try, in seconds.

    `silence`: longest time without a byte. `longest`: longest silence after a body was sent, while
    the bytes may still be on their way.
    """

    silence: float = _CONNECT_SECONDS
    longest: float = inf

    @classmethod
    def of(cls, retries: Retries, left: float) -> "TryLimits":
        """Return the limits of a try that begins `left` seconds before the deadline.

        If another try fits after this one, this try leaves the time for it. Otherwise this try is
        the last one, and may take as long as a slow line needs.
        """
        silence = min(retries.try_silence, max(left, SHORTEST_SECONDS))
        longest = left - retries.try_silence
        return cls(silence, longest if longest >= silence else inf)

    def timeout(self, body: int = 0) -> httpx.Timeout:
        """Build the time-outs of a request with a body of this size in bytes."""
        read = self.silence + min(body, _BUFFERS) / _SLOW_LINE
        return httpx.Timeout(
            self.silence,
            read=min(read, self.longest),
            connect=min(self.silence, _CONNECT_SECONDS),
        )
