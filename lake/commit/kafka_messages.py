"""Checks of Kafka messages before their images are stored: age, and earlier refusals.

A message older than the retention does not become an image. Its image, if there was one, has
expired, or was erased and its tombstone has expired; nothing in the store says which.
"""

from datetime import datetime

from lake.errors import MessageExpired, RefusedBefore
from lake.store.clock import StoreClock
from lake.tables.schema import MAX_REFUSED, RefusedName


def check_age(message_time: datetime | None, clock: StoreClock) -> None:
    """Raise MessageExpired if a message of this time must not become an image any more.

    Messages expire by a margin earlier than the tombstone of an erasure at `message_time`. None:
    the message does not expire.
    """
    now = clock.now()
    # A time in the future is no age, and adding the retention to it may overflow.
    if message_time is None or message_time >= now:
        return
    if now >= clock.settings.expires(message_time) - clock.times.message_margin:
        raise MessageExpired(
            f"the message of {message_time.isoformat()} is older than the retention",
            limit=clock.settings.days(now) * 86_400,
            value=(now - message_time).total_seconds(),
        )


def check_refused(
    existing: RefusedName, rejection_id: str | None, message_time: datetime | None
) -> None:
    """Raise RefusedBefore if the message was refused, or the record is full."""
    why = existing.refused.get(rejection_id or "")
    if why is not None and why.code == MessageExpired.code and message_time is None:
        return  # it expired, and the operator accepts old messages now
    if why is not None:
        raise RefusedBefore(f"this message was refused before: {why.detail}", value=why.code)
    if existing.full:
        raise RefusedBefore(
            f"{len(existing.refused)} other messages with this identity were refused, and "
            "more are not accepted; send the image with another identity",
            limit=MAX_REFUSED,
            value="too_many_refused",
        )
