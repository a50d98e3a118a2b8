"""The time that one image may take: processor time of its child, and a far stop by the clock.

A machine that is busy makes every image slow, and no image is to blame for that. So the limit is
what the child itself has taken. The clock ends what does not get that time: no image is to blame
for it either, and it may come again.
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
# A child that is about to answer may be asleep for a moment; one that waits for good always is.
_LOOKS, _LOOK_SECONDS = 5, 0.05


class TimeLimit:
    """Of one image at a time in one child."""

    def __init__(self, seconds: float, wall_seconds: float) -> None:
        self._seconds = seconds
        self._wall_seconds = wall_seconds
        self.spent = False
        """Whether the last image was ended for its processor time."""

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

        def look() -> None:
            left = end - _taken(pid)
            if left > 0:
                pause = max(left / 2, _SHORTEST_PAUSE_SECONDS)
                self._next_look = loop.call_later(pause, look)
            else:
                self.spent = True
                stop.reschedule(loop.time())

        self._next_look = loop.call_later(self._seconds, look)
        try:
            yield stop
        finally:
            self._next_look.cancel()


async def waits_for_good(pid: int) -> bool:
    """Whether a child sleeps, and takes no processor time, however often one looks.

    The machine is not to blame then: a child that gets no processor is not asleep.
    """
    before = _taken(pid)
    for _ in range(_LOOKS):
        if not is_asleep(pid):
            return False
        await asyncio.sleep(_LOOK_SECONDS)
    return _taken(pid) == before


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
