"""Expiry of stored records, and the time from which a writer may take over their names."""

from datetime import datetime, timedelta

from lake.errors import ImageExpiring
from lake.store.clock import StoreClock
from lake.tables.schema import Named, Tombstone
from lake.tables.tables import Rejected


def expiry_of(found: Named | Rejected, clock: StoreClock) -> datetime:
    """Time at which a record expires, of an image's name or of a rejection."""
    expiry = clock.settings.expires(found.window_start)
    if not isinstance(found, Tombstone):
        return expiry
    # A message or an upload may be sent again for as long after the erasure as after the upload.
    if found.erased_at < expiry:
        return max(expiry, clock.settings.expires(found.erased_at))
    if found.content is None:
        return max(expiry, found.erased_at - clock.times.marker_age)
    return expiry


def is_free(found: Named | Rejected, clock: StoreClock) -> bool:
    """True if a writer may take over the name of a record; false if the record has not expired.

    Raises ImageExpiring if the record expires now, or if a sweeper's DELETE may be under way.
    """
    now = clock.now()
    if (marked := _marked_at(found, clock)) is not None:
        wait = marked + clock.times.marker_hold - now
    elif (expiry := expiry_of(found, clock)) > now:
        return False
    else:
        wait = expiry + clock.times.expiry_margin - now
    if wait > timedelta(0):
        raise ImageExpiring(
            "the expired object of this identity is being removed; wait for `value` seconds",
            value=wait.total_seconds(),
        )
    return True


def _marked_at(found: Named | Rejected, clock: StoreClock) -> datetime | None:
    """Time at which a sweeper wrote this marker; None for any other record.

    A marker has expired when it is written. No other record has.
    """
    if isinstance(found, Rejected):
        written = found.rejected_at
    elif isinstance(found, Tombstone) and found.content is None:
        written = found.erased_at
    else:
        return None
    return written if clock.settings.expires(found.window_start) <= written else None
