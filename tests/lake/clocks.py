"""Lake at another time; machines and stores whose clocks stand still or are set."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lake.lake import Lake
from lake.seal.sizes import SIZES, SealerSizes
from lake.settings import LakeSettings
from lake.store.clock import StoreClock
from lake.store.machine_clock import MachineClock
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.store.store_settings import StoreSettings
from lake.timing import TIMES, ProtocolTimes


@dataclass(slots=True)
class TestMachine(MachineClock):
    """Machine whose clocks are moved by the given seconds."""

    __test__ = False

    elapsed_by: float = 0.0
    wall_by: float = 0.0
    store_by: float = 0.0
    """seconds by which the clock of the store is moved, see `MovedStore`"""

    def elapsed(self) -> float:
        return super(TestMachine, self).elapsed() + self.elapsed_by

    def wall(self) -> float:
        return super(TestMachine, self).wall() + self.wall_by

    def sleep(self, seconds: float) -> None:
        """Let a sleep of the machine pass: both clocks of the lake go on."""
        self.elapsed_by += seconds
        self.wall_by += seconds

    def let_pass(self, seconds: float) -> None:
        """Let time pass for the machine and its store."""
        self.sleep(seconds)
        self.store_by += seconds


class MovedStore(ObjectStore):
    """Store whose clock is moved together with a machine's."""

    machine: TestMachine

    async def head(self, key: str) -> Stored:
        stored = await super().head(key)
        return replace(stored, modified=stored.modified + timedelta(seconds=self.machine.store_by))


async def lake_on(machine: TestMachine, settings: LakeSettings) -> Lake:
    """A new lake whose clock is on the given machine."""
    store = MovedStore.open(settings)
    store.machine = machine
    clock = StoreClock(store, StoreSettings.of(settings), machine=machine)
    await clock.fresh()
    return Lake.wire(store, clock, settings)


class ShiftedClock(StoreClock):
    """The store's clock, moved into the future by `shift`.

    It has the reading of `clock`: a new reading would differ by a tick of the file system.
    """

    def __init__(
        self, store: ObjectStore, clock: StoreClock, shift: timedelta, times: ProtocolTimes
    ) -> None:
        super().__init__(store, clock.settings, times, clock.machine)
        self.clock = clock
        self.shift = shift

    def now(self) -> datetime:
        return self.clock.now() + self.shift

    async def fresh(self) -> None:
        await self.clock.fresh()
        self.settings = self.clock.settings


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
