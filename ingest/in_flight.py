"""Record of a message in flight."""

from dataclasses import dataclass

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
    `timeouts` how often it was not done in time while alone in its batch.
    """

    message: Message
    tracked: TrackedOffset
    job: ImageJob | Fault
    failures: int = 0
    alone: int = 0
    failed_since: float | None = None
    unwritten: int = 0
    timeouts: int = 0
