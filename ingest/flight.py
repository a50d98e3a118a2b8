"""A message under way, and how it failed so far."""

from dataclasses import dataclass

from ingest.messages import Message, Rejection
from ingest.offsets import Ticket
from processors.job import ImageJob


@dataclass(slots=True, eq=False)
class Flight:
    """A message under way, and how often a batch with it in took its worker down.

    `alone` are failures that are nobody else's, those before a restart included, and
    `failed_since` is when this process saw the first of them; `unwritten`: failures to write its
    refusal.
    """

    message: Message
    ticket: Ticket
    job: ImageJob | Rejection
    failures: int = 0
    alone: int = 0
    failed_since: float | None = None
    unwritten: int = 0
