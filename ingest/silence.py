"""Watch of partitions that deliver nothing although their log goes on. No I/O; time is an argument.

A client may fetch from a leader that is none, or wait for an answer that never comes: the group is
stable, nothing fails, and the partition stands still. Only the cluster's own answer shows it. A log
that ends before the position has lost its end, and assigns those offsets to other messages. A
partition without a leader gets no answer at all.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ingest.offsets import Partition
from lake.errors import Fault

PARTITION_SILENT = "partition_silent"
PARTITION_UNAVAILABLE = "partition_unavailable"
LOOKS = 6
"""Number of questions to the cluster before a partition counts as silent."""
# Largest number of doublings of the limit while new clients get nothing either.
_MOST_DOUBLINGS = 5


@dataclass(frozen=True, slots=True)
class Silent:
    """Partition that delivers nothing: next offset to read, and the end of its log."""

    partition: Partition
    position: int
    end: int

    def __str__(self) -> str:
        return f"{self.partition}, read up to {self.position}, ends at {self.end}"


class SilenceWatch:
    """Compares the positions of the client with the ends of the logs.

    Only partitions that may be read count, and only ends that a reader of committed messages
    reaches: an open transaction is no silence.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds
        self._looked_at: float | None = None
        self._positions: dict[Partition, int] = {}
        self._since: dict[Partition, float] = {}
        self._silent: dict[Partition, Silent] = {}
        self._unanswered: dict[Partition, float] = {}
        self._ends: dict[Partition, int] = {}
        self._renewals = 0

    def due(self, now: float) -> bool:
        """True if it is time to ask the cluster; the first time counts as asked."""
        if self._looked_at is None:
            self._looked_at = now
        return now - self._looked_at >= self._limit / LOOKS

    def paused(self, partitions: Collection[Partition]) -> None:
        """Begin anew with partitions that this consumer does not read for a while."""
        for partition in partitions:
            self._since.pop(partition, None)

    def moved(self, positions: Mapping[Partition, int]) -> None:
        """Drop faults of partitions that have delivered something; cheap enough for each turn."""
        for partition, silent in list(self._silent.items()):
            if positions.get(partition, 0) > silent.position:
                del self._silent[partition]
                self._renewals = 0
        for partition in list(self._unanswered):
            if positions.get(partition, 0) > self._positions.get(partition, 0):
                del self._unanswered[partition]

    def look(
        self, now: float, positions: Mapping[Partition, int], ends: Mapping[Partition, int]
    ) -> list[Silent]:
        """Compare positions with the answer of the cluster; return partitions found to be silent.

        `ends` lacks partitions for which nobody answers: then silence has another reason.
        """
        self._looked_at = now
        self._ends = dict(ends)
        self.moved(positions)
        for partition, position in positions.items():
            end = ends.get(partition)
            if end is None:
                self._unanswered.setdefault(partition, now)
            else:
                self._unanswered.pop(partition, None)
            if end is None or end == position:
                self._since.pop(partition, None)
            elif self._positions.get(partition) != position:
                self._since[partition] = now
            else:
                self._since.setdefault(partition, now)
            if end == position:
                self._silent.pop(partition, None)
        self._positions = dict(positions)
        self.forget_all_but(positions)
        limit = self._limit * 2 ** min(self._renewals, _MOST_DOUBLINGS)
        found = [
            Silent(partition, positions[partition], ends[partition])
            for partition, since in self._since.items()
            if now - since >= limit
        ]
        if found:
            self._renewals += 1
            self._since.clear()  # the new client has the whole time again
            self._ends.clear()
            self._silent |= {silent.partition: silent for silent in found}
        return found

    def unread(self, positions: Mapping[Partition, int]) -> int:
        """Messages between the positions and the ends of the last answer of the cluster.

        The client itself learns ends only from what it fetches, so in a pause it knows no new ones.
        """
        return sum(max(0, self._ends.get(p, 0) - position) for p, position in positions.items())

    @property
    def fault(self) -> Fault | None:
        """Reason why the consumer is not ready: a silent or unanswered partition, or None."""
        if not self._silent:
            return self._unavailable()
        worst = max(self._silent.values(), key=lambda silent: silent.end - silent.position)
        others = f" and {len(self._silent) - 1} more" if len(self._silent) > 1 else ""
        detail = f"Kafka delivers nothing of {worst}{others}; the client was replaced"
        return Fault(PARTITION_SILENT, detail, value=len(self._silent))

    def _unavailable(self) -> Fault | None:
        """Fault of the partitions for which no broker has answered for the limit."""
        now = self._looked_at or 0.0
        waited = {p: now - since for p, since in self._unanswered.items()}
        gone = [partition for partition, seconds in waited.items() if seconds >= self._limit]
        if not gone:
            return None
        others = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        seconds = round(max(waited[partition] for partition in gone))
        detail = f"no broker has answered for {gone[0]}{others} for {seconds} s: it has no leader"
        return Fault(PARTITION_UNAVAILABLE, detail, value=len(gone))

    def forget_all_but(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that another member has."""
        self._since = {p: since for p, since in self._since.items() if p in partitions}
        self._silent = {p: silent for p, silent in self._silent.items() if p in partitions}
        self._unanswered = {p: at for p, at in self._unanswered.items() if p in partitions}
