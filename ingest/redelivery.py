"""Messages that may be stored already: their records are looked up before any work.

A message comes again after a crash or a rebalance, if its result was durable and its offset was not
committed. A look-up of each message would cost a read for nothing, so messages are looked up only
  - from the assignment of a partition on, until a batch of the partition has none that is stored
  - when their batch is tried again, because the failed one may have stored some of them
"""

from dataclasses import replace

from ingest.in_flight import InFlight
from ingest.offsets import Redelivery
from processors.job import ImageJob
from processors.replica_answers import Answer


def to_submit(in_flight: InFlight, job: ImageJob) -> ImageJob:
    """Job of a message; a message that may be stored already is looked up before any work."""
    return replace(job, look_first=in_flight.tries > 0 or in_flight.tracked.redelivery.expected)


def expect_redelivered(flights: list[InFlight], slots: list[Answer]) -> None:
    """Expect messages that are stored already in a partition while the last batch had some."""
    by_partition: dict[int, tuple[Redelivery, set[str]]] = {}
    for in_flight, slot in zip(flights, slots, strict=True):
        redelivery = in_flight.tracked.redelivery
        outcomes = by_partition.setdefault(id(redelivery), (redelivery, set()))[1]
        if isinstance(slot, str):
            outcomes.add(slot)
    for redelivery, outcomes in by_partition.values():
        if outcomes:
            redelivery.expected = "replayed" in outcomes
