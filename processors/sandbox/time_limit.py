"""Time limits of one image: processor time of its child, and a longer wall clock limit.

A busy machine makes every image slow, which is no fault of the image. So the limit is processor
time of the child. The wall clock limit ends a child that does not get that time; the image may be
tried again. The time that a child waits for a processor does not count towards it, up to nine
times the limit: otherwise an image that takes seconds would never be done on a busy machine,
because each try starts again from the beginning. A child that mostly sleeps is an exception: the
image is refused, because a child that waits for a processor is runnable or stopped and never
asleep. A child does not count as asleep while it waits for this process to read its answer.
"""

import asyncio
import contextlib
import math
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from processors.sandbox.usage import cpu_seconds, is_asleep, waited_seconds

# The next check comes after half of the remaining time, but not sooner than this.
_SHORTEST_PAUSE_SECONDS = 0.05
# Least number of checks within the wall clock limit.
_LOOKS = 40
# A working child sleeps only for moments; fewer checks than this do not prove that it sleeps.
_FEWEST_LOOKS = 5
_MOST_ASLEEP = 0.5
# Longest time that a child may wait for a processor, in wall clock limits.
_MOST_WAITING = 9


class TimeLimit:
    """Time limits of one child, for one image at a time."""

    def __init__(
        self, seconds: float, wall_seconds: float, waits_for_us: Callable[[], bool]
    ) -> None:
        """`waits_for_us` is true while this process has not read all that the child sent."""
        self._waits_for_us = waits_for_us
        self._seconds = seconds
        self._wall_seconds = wall_seconds
        self.spent = False
        """True if the last image reached the limit of processor time."""
        self._looks = self._asleep = 0
        self._kernel_seconds = 0

    def asked(self) -> None:
        """Count the child's sleep from now on, because the child has the whole request."""
        self._looks = self._asleep = 0

    @property
    def slept(self) -> bool:
        """True if the child was asleep in most checks since `asked`."""
        return self._looks >= _FEWEST_LOOKS and self._asleep > self._looks * _MOST_ASLEEP

    @contextmanager
    def fence(self, pid: int) -> Iterator[asyncio.Timeout]:
        """Start both limits; yields a time-out, which the caller has to enter.

        The kernel enforces the processor time as well, in case this process is too slow to check.
        """
        self.spent = False
        stop = asyncio.timeout(self._wall_seconds)
        loop = asyncio.get_running_loop()
        began, waits = loop.time(), _Waits(pid)
        end = _taken(pid) + self._seconds
        self._limit_by_kernel(pid, end)

        longest = max(self._wall_seconds / _LOOKS, _SHORTEST_PAUSE_SECONDS)

        def look() -> None:
            if stop.expired():
                return
            left = end - _taken(pid)
            self._looks += 1
            self._asleep += is_asleep(pid) and not self._waits_for_us()
            if left > 0:
                waiting = min(waits.seconds(), _MOST_WAITING * self._wall_seconds)
                stop.reschedule(began + self._wall_seconds + waiting)
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

    def _limit_by_kernel(self, pid: int, end: float) -> None:
        """Let the kernel send SIGXCPU a second or two after that processor time.

        The kernel counts whole seconds, so most images need no change of its limit.
        """
        seconds = math.ceil(end) + 1
        if seconds == self._kernel_seconds:
            return
        self._kernel_seconds = seconds
        with contextlib.suppress(OSError, ValueError):
            _, hardest = resource.prlimit(pid, resource.RLIMIT_CPU)
            resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, hardest))


class _Waits:
    """Time that a child has waited for a processor, counted from the first call of `seconds`.

    Most images are done before the first call, so that no file in /proc is read for them.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before: float | None = None

    def seconds(self) -> float:
        """Return the time since the first call."""
        waited = waited_seconds(self._pid)
        if self._before is None:
            self._before = waited
        return max(0.0, waited - self._before)


def _taken(pid: int) -> float:
    # The end of a dead child is noticed elsewhere, on its socket `life`.
    try:
        return cpu_seconds(pid)
    except OSError:
        return 0.0
