"""The time that one image may take: processor time of its child, and a far stop by the clock.

A machine that is busy makes every image slow, and no image is to blame for that. So the limit is
what the child itself has taken. The clock ends what does not get that time: no image is to blame
for it either, and it may come again. A child that mostly sleeps of its own accord is to blame: a
child that gets no processor is runnable or stopped, never asleep.
"""

import asyncio
import contextlib
import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from processors.usage import cpu_seconds, is_asleep

# The next look comes when half of what is left can be gone, but not all the time.
_SHORTEST_PAUSE_SECONDS = 0.05
# Looks at a child within the time by the clock, spread evenly.
_LOOKS = 40
# A child that answers sleeps for moments only, and fewer looks than this prove nothing.
_FEWEST_LOOKS = 5
_MOST_ASLEEP = 0.5


class TimeLimit:
    """Of one image at a time in one child."""

    def __init__(self, seconds: float, wall_seconds: float) -> None:
        self._seconds = seconds
        self._wall_seconds = wall_seconds
        self.spent = False
        """Whether the last image was ended for its processor time."""
        self._looks = self._asleep = 0

    def asked(self) -> None:
        """Count its sleep from now on: it has all that it needs."""
        self._looks = self._asleep = 0

    @property
    def slept(self) -> bool:
        """Whether the child slept for most of the time since it was asked."""
        return self._looks >= _FEWEST_LOOKS and self._asleep > self._looks * _MOST_ASLEEP

    @contextmanager
    def fence(self, pid: int) -> Iterator[asyncio.Timeout]:
        """A time-out, to be entered, that comes when the child has taken its time.

        The kernel stands by: where this process is too slow to look, it ends the child itself.
        """
        self.spent = False
        stop = asyncio.timeout(self._wall_seconds)
        loop = asyncio.get_running_loop()
        end = _taken(pid) + self._seconds
        _limit_by_kernel(pid, end)

        longest = max(self._wall_seconds / _LOOKS, _SHORTEST_PAUSE_SECONDS)

        def look() -> None:
            left = end - _taken(pid)
            self._looks += 1
            self._asleep += is_asleep(pid)
            if left > 0:
                pause = min(max(left / 2, _SHORTEST_PAUSE_SECONDS), longest)
                self._next_look = loop.call_later(pause, look)
            else:
                self.spent = True
                stop.reschedule(loop.time())

        self._next_look = loop.call_later(min(self._seconds, longest), look)
        try:
            yield stop
        finally:
            self._next_look.cancel()


def _taken(pid: int) -> float:
    # Of a child that died its end is heard on another line.
    try:
        return cpu_seconds(pid)
    except OSError:
        return 0.0


def _limit_by_kernel(pid: int, end: float) -> None:
    """SIGXCPU a little after that time; whole seconds are all that the kernel knows."""
    with contextlib.suppress(OSError, ValueError):
        _, hardest = resource.prlimit(pid, resource.RLIMIT_CPU)
        resource.prlimit(pid, resource.RLIMIT_CPU, (math.ceil(end) + 1, hardest))
