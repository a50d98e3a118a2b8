"""Machine of a simulated process: clocks that stand while it sleeps, and a wall clock."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lake.store.machine_clock import MachineClock

EPOCH_SECONDS = 1_795_392_000.0
"""wall clock at the start of a story: 2026-11-23, midnight UTC"""


@dataclass(slots=True)
class SimulatedMachine(MachineClock):
    """Clocks of a machine; `true` is the time of the story."""

    true: Callable[[], float] = lambda: 0.0
    asleep: list[tuple[float, float]] = field(default_factory=list)
    """begin and end of each sleep: `monotonic` stands meanwhile"""
    paused: list[tuple[float, float]] = field(default_factory=list)
    """begin and end of each pause of a virtual machine: only the wall clock is right afterwards"""

    set_by: Callable[[], float] = lambda: 0.0
    """seconds by which somebody has set the wall clock ahead"""

    wrong: float = 0.0
    """seconds by which the wall clock of this machine is ahead of the store's, for good"""

    def elapsed(self) -> float:
        return self._without(self.paused)

    def monotonic(self) -> float:
        """Clock of `time.monotonic`, which the lake must not use."""
        return self._without([*self.paused, *self.asleep])

    def wall(self) -> float:
        return EPOCH_SECONDS + self.true() + self.set_by() + self.wrong

    def _without(self, stops: list[tuple[float, float]]) -> float:
        now = self.true()
        return now - sum(min(now, end) - begin for begin, end in stops if begin < now)
