"""What an audit looks at, and from what age on something must be as promised."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from lake.retention import ORPHAN_AGE
from lake.settings import LakeSettings
from lake.store_settings import StoreSettings

# I4: younger records may still be on their way, or in a writer that is about to journal them.
_SETTLED = timedelta(hours=1)
# Two passes of a sealer that has much to do.
_PASSES = timedelta(minutes=5)
TOMBSTONE_AGE = timedelta(hours=1)
"""how long a tombstone row waits in the journal before a pass consumes it"""

# The sweeper runs hourly; twice that is late.
_SWEEPS = timedelta(hours=2)
# S3 rounds up to the next midnight UTC, then takes its time.
_LIFECYCLE = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Scope:
    """Homes in [start, end), seen at `now` (by the store's clock)."""

    now: datetime
    start: datetime
    end: datetime
    kept: StoreSettings
    overdue_after: timedelta
    """from retention to when a deletion is late"""
    stale_after: timedelta
    """from a window's end to when a row may not wait any more"""

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
        """Whether this home is looked at."""
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
        """Whether this home is hidden from everybody."""
        return self.kept.expires(home) <= self.now

    def is_overdue(self, home: datetime) -> bool:
        """Whether what belongs to this home should be deleted by now."""
        return self.kept.expires(home) + self.overdue_after <= self.now

    def is_orphan(self, modified: datetime) -> bool:
        """Whether an object of that time, which no record names, should be gone."""
        return modified + ORPHAN_AGE <= self.now

    def is_stale(self, home: datetime, modified: datetime, *, tombstone: bool) -> bool:
        """Whether a journal object should be in the chain, and deleted."""
        since = max(home + self.kept.window, modified)
        return since + self.stale_after + tombstone * TOMBSTONE_AGE <= self.now

    def must_be_erased(self, erased_at: datetime) -> bool:
        """Whether nothing of an image erased then may be left (I3)."""
        return erased_at + TOMBSTONE_AGE + self.stale_after <= self.now
