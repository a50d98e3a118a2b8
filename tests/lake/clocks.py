"""A lake as processes see it at another time, and machines whose clocks stand or are set."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lake.lake import Lake
from lake.seal.sizes import SIZES, SealerSizes
from lake.settings import LakeSettings
from lake.store.clock import StoreClock
from lake.store.machine_clock import MachineClock
from lake.store.object_store import ObjectStore
from lake.timing import TIMES, ProtocolTimes


@dataclass(slots=True)
class TestMachine(MachineClock):
    """Machine whose clocks are moved by the given seconds."""

    __test__ = False

    elapsed_by: float = 0.0
    wall_by: float = 0.0

    def elapsed(self) -> float:
        return super(TestMachine, self).elapsed() + self.elapsed_by

    def wall(self) -> float:
        return super(TestMachine, self).wall() + self.wall_by

    def sleep(self, seconds: float) -> None:
        """Let a sleep of the machine pass: both clocks of the lake go on."""
        self.elapsed_by += seconds
        self.wall_by += seconds


def grow_old(clock: StoreClock, seconds: float) -> None:
    """Make the last reading of a clock older."""
    assert clock._read_at
    at, by = clock._read_at, timedelta(seconds=seconds)
    clock._read_at = replace(at, elapsed=at.elapsed - seconds, wall=at.wall - seconds)
    clock._reading -= by


class ShiftedClock(StoreClock):
    """The store's clock, moved into the future by `shift`."""

    def __init__(
        self, store: ObjectStore, clock: StoreClock, shift: timedelta, times: ProtocolTimes
    ) -> None:
        super().__init__(store, clock.settings, times, clock.machine)
        # Takes the reading of `clock`: a new reading would differ by a tick of the file system.
        self._reading, self._read_at = clock._reading, clock._read_at
        self._ahead_of_wall = clock._ahead_of_wall
        self._shift = shift

    def now(self) -> datetime:
        return super().now() + self._shift


def at_age(
    lake: Lake,
    *,
    days: int = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    times: ProtocolTimes = TIMES,
    sizes: SealerSizes = SIZES,
) -> Lake:
    """The lake as a process sees it after the given time, with default settings."""
    shift = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    clock = ShiftedClock(lake.store, lake.clock, shift, times)
    return Lake.wire(lake.store, clock, LakeSettings(), sizes)


def at(
    lake: Lake,
    moment: datetime,
    times: ProtocolTimes = TIMES,
    sizes: SealerSizes = SIZES,
) -> Lake:
    """The lake as a process sees it at `moment`, with default settings."""
    seconds = (moment - lake.clock.now()).total_seconds()
    return at_age(lake, seconds=seconds, times=times, sizes=sizes)
