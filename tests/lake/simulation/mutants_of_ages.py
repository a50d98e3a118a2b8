"""Mutants that lack one rule of messages older than the retention."""

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from unittest import mock

from ingest.messages import Message
from lake.commit.rejections import Rejections
from tests.lake.simulation.mutants_of_images import Mutant, with_times


def message_has_no_age() -> AbstractContextManager[Any]:
    """A message that is read again after any time is an image again."""
    return mock.patch("lake.commit.records.check_age")


def message_lasts_as_long_as_a_tombstone() -> AbstractContextManager[Any]:
    """A message expires with the retention, without the margin for producers that are ahead."""
    return with_times(message_margin=timedelta(0))


def any_time_is_an_age() -> AbstractContextManager[Any]:
    """The time of a producer without a clock counts, and its images expire at once."""
    return mock.patch.object(
        Message, "time", property(lambda self: self.appended_at or self.timestamp)
    )


def time_of_the_broker_is_no_age() -> AbstractContextManager[Any]:
    """Messages of a topic with append times do not expire."""
    time = Message.__dict__["time"].fget

    def of_producer(self: Message) -> object:
        return None if self.appended_at else time(self)

    return mock.patch.object(Message, "time", property(of_producer))


def expired_message_asks_nobody() -> AbstractContextManager[Any]:
    """An old message is recorded as expired although its image exists."""
    return mock.patch.object(Rejections, "settle", Rejections.note)


OF_AGES: tuple[Mutant, ...] = (
    message_has_no_age,
    message_lasts_as_long_as_a_tombstone,
    any_time_is_an_age,
    time_of_the_broker_is_no_age,
    expired_message_asks_nobody,
)
