"""A lake as processes see it at another time."""

from datetime import datetime, timedelta

from lake.lake import Lake
from lake.seal.sizes import SIZES, SealerSizes
from lake.settings import LakeSettings
from lake.store.clock import StoreClock
from lake.store.object_store import ObjectStore
from lake.timing import TIMES, ProtocolTimes


class ShiftedClock(StoreClock):
    """The store's clock, moved into the future by `shift`."""

    def __init__(
        self, store: ObjectStore, clock: StoreClock, shift: timedelta, times: ProtocolTimes
    ) -> None:
        super().__init__(store, clock.settings, times)
        # Takes the reading of `clock`: a new reading would differ by a tick of the file system.
        self._reading, self._read_at = clock._reading, clock._read_at
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
