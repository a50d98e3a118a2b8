"""Scope of an audit: its homes, and the ages from which guarantees must hold."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from lake.retention import ORPHAN_AGE
from lake.settings import LakeSettings
from lake.store_settings import StoreSettings

# Invariant I4: a writer may still be about to journal the row of a younger record.
_SETTLED = timedelta(hours=1)
# Time for two passes of a busy sealer.
_PASSES = timedelta(minutes=5)
TOMBSTONE_AGE = timedelta(hours=1)
"""how long a tombstone row waits in the journal before a pass consumes it"""

# The sweeper runs hourly; after two hours a deletion is late.
_SWEEPS = timedelta(hours=2)
# S3 rounds up to the next midnight UTC, and deletes some time after that.
_LIFECYCLE = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Scope:
    """Homes in [start, end), audited at `now` (by the store's clock)."""

    now: datetime
    start: datetime
    end: datetime
    kept: StoreSettings
    overdue_after: timedelta
    """time after expiry from which a deletion is late"""
    stale_after: timedelta
    """time after a window's end from which a waiting row is late"""

    @classmethod
    def of(
        cls,
        settings: LakeSettings,
        kept: StoreSettings,
        now: datetime,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> "Scope":
        """All homes within retention, or those from `start` (inclusive) to `end` (exclusive)."""
        oldest = kept.oldest(now)
        lifecycle = settings.location.startswith("s3:")
        return cls(
            now=now,
            start=max(start or oldest, oldest),
            end=min(end or now + _SETTLED, now + _SETTLED),
            kept=kept,
            overdue_after=max(kept.margin, _LIFECYCLE) if lifecycle else kept.margin + _SWEEPS,
            stale_after=timedelta(seconds=settings.grace_seconds) + _PASSES,
        )

    def holds(self, home: datetime) -> bool:
        """True if this home is in scope."""
        return self.start <= home < self.end

    @property
    def settled(self) -> datetime:
        """Images of homes before this must have their row."""
        return min(self.end, self.now - _SETTLED)

    @property
    def row_floor(self) -> datetime:
        """Rows of homes before this may lose their image while the audit runs."""
        return max(self.start, self.kept.oldest(self.now + _SETTLED))

    def is_expired(self, home: datetime) -> bool:
        """True if this home has expired."""
        return self.kept.expires(home) <= self.now

    def is_overdue(self, home: datetime) -> bool:
        """True if objects of this home should be deleted by now."""
        return self.kept.expires(home) + self.overdue_after <= self.now

    def is_orphan(self, modified: datetime) -> bool:
        """True if an object of that age should be deleted if no record names it."""
        return modified + ORPHAN_AGE <= self.now

    def is_stale(self, home: datetime, modified: datetime, *, tombstone: bool) -> bool:
        """True if a journal object should have been sealed and deleted by now."""
        since = max(home + self.kept.window, modified)
        return since + self.stale_after + tombstone * TOMBSTONE_AGE <= self.now

    def must_be_erased(self, erased_at: datetime) -> bool:
        """True if an image erased at that time must be gone completely (invariant I3)."""
        return erased_at + TOMBSTONE_AGE + self.stale_after <= self.now
