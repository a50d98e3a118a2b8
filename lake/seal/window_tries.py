"""Results of one sealer's tries at each window of the journal."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from lake.store.machine_clock import MachineClock, Moment


@dataclass(frozen=True, slots=True)
class _Failing:
    """Window whose last try failed: time of the first failure, number of the last failed try."""

    since: Moment
    number: int


class WindowTries:
    """Windows that failed, and windows without rows that could be sealed.

    A window that has failed for `window_stuck` is stuck. Compaction does not wait for it, and it
    withdraws no claim that may still advance the watermark. Otherwise one segment that the store
    refuses would keep all readers from the compacted copies.
    """

    def __init__(self, machine: MachineClock, window_stuck: timedelta) -> None:
        self._machine = machine
        self._window_stuck = window_stuck
        self._failing: dict[datetime, _Failing] = {}
        self._done: set[datetime] = set()
        self._numbers = itertools.count(1)

    def keep(self, windows: Iterable[datetime]) -> None:
        """Forget all windows but these."""
        waiting = set(windows)
        self._failing = {start: self._failing[start] for start in waiting & self._failing.keys()}
        self._done &= waiting

    def succeeded(self, window_start: datetime) -> None:
        """Note that the window has no row left that can be sealed."""
        self._failing.pop(window_start, None)
        self._done.add(window_start)

    def failed(self, window_start: datetime) -> None:
        """Note a try that failed."""
        before = self._failing.get(window_start)
        since = before.since if before else self._machine.moment()
        self._failing[window_start] = _Failing(since, next(self._numbers))
        self._done.discard(window_start)

    def last_failure(self, window_start: datetime) -> int:
        """Number of the last failed try among all tries; 0 if it did not fail."""
        failing = self._failing.get(window_start)
        return failing.number if failing else 0

    def is_stuck(self, window_start: datetime) -> bool:
        """True if all tries of the last `window_stuck` failed."""
        failing = self._failing.get(window_start)
        return failing is not None and failing.since.age >= self._window_stuck

    def may_seal(self, window_start: datetime) -> bool:
        """True if rows of the window may be sealed soon, so that compaction had better wait."""
        return window_start not in self._done and not self.is_stuck(window_start)
