"""Clocks of this machine, and moments whose age includes the time in which the machine slept.

`time.monotonic` stands still while a machine sleeps: on Linux CLOCK_BOOTTIME goes on, on macOS
CLOCK_MONOTONIC. Both stand still while a virtual machine is paused; only the wall clock may notice
a pause, so the age of a moment is the longer of the two.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class MachineClock:
    """Clock that goes on while the machine sleeps, and the wall clock; both in seconds."""

    def elapsed(self) -> float:
        """Seconds since the start of the machine; the clock is never set."""
        return time.clock_gettime(_ELAPSED)

    def wall(self) -> float:
        """Seconds since 1970 by the wall clock, which may be set at any time."""
        return time.time()

    def wall_time(self) -> datetime:
        """Time by the wall clock, UTC."""
        return datetime.fromtimestamp(self.wall(), UTC)

    def moment(self) -> "Moment":
        """Current moment."""
        return Moment(self, self.elapsed(), self.wall())


@dataclass(frozen=True, slots=True)
class Moment:
    """Moment by both clocks of a machine."""

    machine: MachineClock
    elapsed: float
    wall: float

    @property
    def wall_time(self) -> datetime:
        """Time of the wall clock at the moment, UTC."""
        return datetime.fromtimestamp(self.wall, UTC)

    @property
    def age(self) -> timedelta:
        """Longest time since the moment by any of the clocks."""
        passed = self.machine.elapsed() - self.elapsed, self.machine.wall() - self.wall
        return timedelta(seconds=max(passed))

    @property
    def passed(self) -> timedelta:
        """Time since the moment by the clock that is never set."""
        return timedelta(seconds=self.machine.elapsed() - self.elapsed)

    @property
    def apart(self) -> timedelta:
        """Time by which the clocks have run apart since: a pause, or a wall clock that was set."""
        wall = timedelta(seconds=self.machine.wall() - self.wall)
        return abs(wall - self.passed)


MACHINE = MachineClock()
"""Clocks of this machine."""
