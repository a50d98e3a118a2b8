"""Scope of an audit: its windows, and the ages from which guarantees must hold."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from lake.settings import LakeSettings
from lake.store.clock import StoreClock
from lake.store.store_settings import StoreSettings
from lake.timing import ProtocolTimes


@dataclass(frozen=True, slots=True)
class Scope:
    """Windows in [start, end), audited at `now` (by the store's clock)."""

    now: datetime
    start: datetime
    end: datetime
    kept: StoreSettings
    times: ProtocolTimes
    overdue_after: timedelta
    """time after expiry from which a deletion is late"""
    stale_after: timedelta
    """time after a window's end from which a waiting row is late"""
    swept: datetime | None = None
    """time of the last sweep, if sweepers refuse the store's clock since then"""

    @classmethod
    def of(
        cls,
        settings: LakeSettings,
        clock: StoreClock,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> "Scope":
        """All windows within retention, or those from `start` (inclusive) to `end` (exclusive)."""
        kept, now, times = clock.settings, clock.now(), clock.times
        oldest, newest = kept.oldest(now), now + times.row_settled
        lifecycle = settings.location.startswith("s3:")
        return cls(
            now=now,
            start=max(start or oldest, oldest),
            end=min(end or newest, newest),
            kept=kept,
            times=times,
            overdue_after=max(kept.margin, times.lifecycle)
            if lifecycle
            else kept.margin + 2 * times.sweep_interval,
            stale_after=timedelta(seconds=settings.grace_seconds) + times.seal_late,
        )

    def holds(self, window_start: datetime) -> bool:
        """True if this window is in scope."""
        return self.start <= window_start < self.end

    @property
    def settled(self) -> datetime:
        """Time before which every image of a window must have its row."""
        return min(self.end, self.now - self.times.row_settled)

    @property
    def row_floor(self) -> datetime:
        """Time before which rows may lose their image while the audit runs: the images expire."""
        return max(self.start, self.kept.oldest(self.now + self.times.row_settled))

    def is_expired(self, window_start: datetime) -> bool:
        """True if the images of this window have expired."""
        return self.kept.expires(window_start) <= self.now

    def is_overdue(self, window_start: datetime) -> bool:
        """True if objects of this window should be deleted by now.

        While sweepers refuse a jump of the store's clock, the time of the last sweep counts.
        """
        return self.kept.expires(window_start) + self.overdue_after <= (self.swept or self.now)

    def is_future(self, moment: datetime) -> bool:
        """True if a clock that was wrong wrote this time."""
        # `now` is the start of the audit, and other processes write while it runs.
        return moment > self.now + 2 * self.times.row_settled

    def is_orphan(self, modified: datetime) -> bool:
        """True if an object of that age should be deleted if no record names it."""
        return modified + self.times.orphan_age <= self.now

    def is_stale(self, window_start: datetime, modified: datetime, *, tombstone: bool) -> bool:
        """True if a journal object should have been sealed and deleted by now."""
        since = max(window_start + self.kept.window, modified)
        return since + self.stale_after + tombstone * self.times.tombstone_age <= self.now

    def must_be_erased(self, erased_at: datetime) -> bool:
        """True if an image erased at that time must be gone completely (invariant I3)."""
        return erased_at + self.times.tombstone_age + self.stale_after <= self.now
