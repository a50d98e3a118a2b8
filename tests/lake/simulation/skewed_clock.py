"""Store's clock of a simulated process, with a constant error."""

from datetime import datetime, timedelta

from lake.store.clock import StoreClock
from lake.store.store_settings import StoreSettings
from lake.timing import ProtocolTimes
from tests.lake.simulation.machine import SimulatedMachine
from tests.lake.simulation.store import SimulatedStore

# Two clocks differ by less than two minutes, as the expiry margin requires.
MAX_SKEW_SECONDS = 55.0


class SkewedClock(StoreClock):
    """Store's clock with a constant error, for S3's whole seconds, slow answers, and more."""

    def __init__(
        self,
        store: SimulatedStore,
        settings: StoreSettings,
        times: ProtocolTimes,
        machine: SimulatedMachine,
        skew: float,
    ) -> None:
        super().__init__(store, settings, times, machine)
        self._skew = timedelta(seconds=skew)

    def now(self) -> datetime:
        return super().now() + self._skew
