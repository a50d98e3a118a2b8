"""Watch of transactions that producers leave open. No I/O; time is an argument.

Kafka gives messages behind an open transaction to no reader of committed messages. So a producer
that neither commits nor aborts holds up its partition until the broker ends the transaction.
"""

from collections.abc import Mapping

from ingest.librdkafka import Held
from ingest.offsets import Partition
from lake.errors import Fault
from lake.logs import logger

log = logger(__name__)

TRANSACTION_OPEN = "transaction_open"


class OpenTransactions:
    """Partitions that a transaction holds up, with the time since when."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds
        self._since: dict[Partition, tuple[Held, float]] = {}
        self._named: set[Partition] = set()
        self.remark: Fault | None = None

    def look(self, now: float, held: Mapping[Partition, Held]) -> None:
        """Update the remark; a producer that goes on moves the offset, and the time begins anew."""
        for partition in self._since.keys() - held.keys():
            del self._since[partition]
        for partition, this in held.items():
            before = self._since.get(partition)
            same = before is not None and before[0].stable == this.stable
            self._since[partition] = (this, before[1] if before is not None and same else now)
        old = {p: (h, now - at) for p, (h, at) in self._since.items() if now - at >= self._limit}
        self._named &= old.keys()
        self.remark = None
        for partition, (this, seconds) in old.items():
            if self.remark is None:
                self.remark = _remark(partition, this, round(seconds))
            if partition not in self._named:
                self._named.add(partition)
                log.warning(
                    "a producer's transaction is open",
                    topic=partition.topic,
                    partition=partition.number,
                    offset=this.stable,
                    offsets_behind=this.end - this.stable,
                )


def _remark(partition: Partition, held: Held, seconds: int) -> Fault:
    detail = (
        f"a producer's transaction has been open for {seconds} s on {partition} from offset "
        f"{held.stable}; {held.end - held.stable} offsets wait for its end"
    )
    return Fault(TRANSACTION_OPEN, detail, value=seconds)
