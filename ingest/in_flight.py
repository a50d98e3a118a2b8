"""Record of a message in flight."""

import time
from dataclasses import dataclass, field

from ingest.messages import Message
from ingest.offsets import TrackedOffset
from lake.errors import Fault
from processors.job import ImageJob


@dataclass(slots=True, eq=False)
class InFlight:
    """Message in flight, and its failure counts.

    `failures` counts batches with this message that killed their worker. `alone` counts failures
    that only this message can have caused, including those before a restart; `failed_since` is the
    time of the first of them in this process. `unwritten` counts failures to record its refusal,
    `timeouts` how often it was not done in time while alone in its batch. `waits_for` is the fault
    of store, workers or cluster that the message waits for. `tries` counts its batches: one that
    failed may have stored the message's image.
    """

    message: Message
    tracked: TrackedOffset
    job: ImageJob | Fault
    failures: int = 0
    alone: int = 0
    failed_since: float | None = None
    unwritten: int = 0
    timeouts: int = 0
    waits_for: Fault | None = None
    tries: int = 0
    taken_at: float = field(default_factory=time.monotonic)


def wait_for(flights: list[InFlight], fault: Fault | None) -> list[InFlight]:
    """Set the fault that these messages wait for, None for their own; return the messages."""
    for in_flight in flights:
        in_flight.waits_for = fault
    return flights
