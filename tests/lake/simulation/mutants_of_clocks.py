"""Mutants of clocks: each lacks one rule about time. The stories of clocks must catch them."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from unittest import mock

from lake.commit.records import Attempt
from lake.errors import AttemptTooOld
from lake.retention.sweeper import Sweeper
from lake.seal.watermark_advance import WatermarkAdvance
from lake.store.clock import StoreClock
from lake.store.object_store import ObjectStore
from lake.timing import ProtocolTimes
from tests.lake.simulation.asleep import laptop, sleeping_sweeper, sleeping_writer
from tests.lake.simulation.frozen import frozen
from tests.lake.simulation.machine import EPOCH_SECONDS, SimulatedMachine
from tests.lake.simulation.mutants_of_images import Mutant
from tests.lake.simulation.set_clock import days_ahead, hours_ahead
from tests.lake.simulation.story import Story
from tests.lake.simulation.wrong_clocks import wrong_clocks


def reading_outlives_a_sleep() -> AbstractContextManager[Any]:
    """Times and ages are those of `time.monotonic`, and nobody looks at the wall clock."""
    return mock.patch.multiple(
        SimulatedMachine,
        elapsed=SimulatedMachine.monotonic,
        wall=lambda self: SimulatedMachine.monotonic(self) + EPOCH_SECONDS,
    )


def marker_outlives_a_sleep() -> AbstractContextManager[Any]:
    """The same, for a sweeper whose machine slept after it had read the store's clock."""
    return reading_outlives_a_sleep()


def attempt_outlives_a_sleep() -> AbstractContextManager[Any]:
    """An attempt counts the time for which its machine was awake."""

    def check_age(self: Attempt, times: ProtocolTimes) -> None:
        machine = self.started.machine
        assert isinstance(machine, SimulatedMachine)
        if machine.monotonic() - self.started.elapsed > times.attempt.total_seconds():
            raise AttemptTooOld("too old")

    return mock.patch.object(Attempt, "check_age", check_age)


def pause_of_a_virtual_machine_is_unnoticed() -> AbstractContextManager[Any]:
    """A reading of the store's clock is used however far the wall clock has run ahead since."""

    def usable(self: StoreClock) -> bool:
        at = self._read_at
        return at is not None and at.passed < self.times.clock_usable

    return mock.patch.object(StoreClock, "_is_usable", usable)


OF_SLEEP: dict[Mutant, Story] = {
    reading_outlives_a_sleep: laptop,
    marker_outlives_a_sleep: sleeping_sweeper,
    attempt_outlives_a_sleep: sleeping_writer,
    pause_of_a_virtual_machine_is_unnoticed: laptop,
}
"""Mutants that a story of sleeping machines catches."""


def window_ahead_waits() -> AbstractContextManager[Any]:
    """Windows, claims and holds that are dated ahead wait until their time has come."""

    def is_ahead(_self: StoreClock, _moment: datetime) -> bool:
        return False

    return mock.patch.object(StoreClock, "is_ahead", is_ahead)


def claim_ahead_counts() -> AbstractContextManager[Any]:
    """A claim or a hold that is dated ahead lasts until its time; windows are sealed."""
    return mock.patch.object(WatermarkAdvance, "_is_ahead", return_value=False)


def sweeper_believes_any_time() -> AbstractContextManager[Any]:
    """A sweep relies on the store's clock, however long ago the last sweep was."""

    async def accept(_store: ObjectStore, clock: StoreClock, **_: bool) -> datetime:
        return clock.now()

    return mock.patch("lake.retention.sweeper.accept_time", accept)


def sealer_believes_any_time() -> AbstractContextManager[Any]:
    """A sealer deletes rows of expired windows by any clock."""
    return mock.patch("lake.seal.sealer.check_time")


def compactor_believes_any_time() -> AbstractContextManager[Any]:
    """A compactor passes over hours that have expired by any clock."""
    return mock.patch("lake.seal.compaction.check_time")


def jump_in_a_sweep_is_unnoticed() -> AbstractContextManager[Any]:
    """A sweep goes by the store's clock if that clock jumps after the sweep has begun."""
    return mock.patch.object(Sweeper, "_now", lambda self: self._clock.now())


def attempt_outlives_a_freeze() -> AbstractContextManager[Any]:
    """A writer that stood still for a day sends its record, whose objects were swept meanwhile."""
    return mock.patch.object(Attempt, "check_age")


OF_FREEZES: dict[Mutant, Story] = {attempt_outlives_a_freeze: frozen}
"""Mutants that the story of processes that stand still for days catches."""

OF_SET_CLOCKS: dict[Mutant, Story] = {
    window_ahead_waits: hours_ahead,
    claim_ahead_counts: hours_ahead,
    sweeper_believes_any_time: days_ahead,
    sealer_believes_any_time: days_ahead,
    compactor_believes_any_time: days_ahead,
    jump_in_a_sweep_is_unnoticed: days_ahead,
}
"""Mutants that a story of a clock that was set ahead catches."""


def time_of_the_machine() -> AbstractContextManager[Any]:
    """A process goes by the wall clock of its machine, and not by the store's."""
    return mock.patch.object(StoreClock, "now", lambda self: self.machine.wall_time())


OF_WRONG_CLOCKS: dict[Mutant, Story] = {time_of_the_machine: wrong_clocks}
"""Mutants that the story of machines whose clocks are wrong for good catches."""

OF_CLOCKS: dict[Mutant, Story] = {
    **OF_SLEEP,
    **OF_SET_CLOCKS,
    **OF_FREEZES,
    **OF_WRONG_CLOCKS,
}
"""All mutants of clocks, and the story that catches each."""
