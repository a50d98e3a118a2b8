"""Tracking of offsets that may be committed, without clock, I/O or threads.

The client reports events (`assigned`, `taken`, `ended`, `done`, `rewound`, `revoked`), and
`to_commit` returns the offsets to commit. The offset to commit is that of the first unfinished
message; without one, the end of what was read. Offsets have gaps (compaction, transactions), and
they can go back (truncated log, topic created again); messages that are then read count as new.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ingest.positions import Place


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """Partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


class Listener(Protocol):
    """Callbacks for events of the client, called on the thread that polls it."""

    def assigned(
        self, committed: Mapping[Partition, Place | None], topic_ids: Mapping[str, str]
    ) -> Mapping[Partition, Place | None]:
        """Handle newly assigned partitions; return the start of each, None for its beginning.

        `committed` are the group's commits; `topic_ids` are ids requested before them.
        """

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Handle partitions to give up; until this returns, they may still be committed."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Handle partitions that another member has already."""

    def ended(self, partition: Partition, offset: int) -> None:
        """Handle the end of a log: all messages before this offset were read."""

    def commit_refused(self, offsets: Mapping[Partition, int]) -> None:
        """Handle a failed commit."""


@dataclass(slots=True, eq=False)
class Refusals:
    """Number of messages of one partition that were refused in a row, in order of their results."""

    in_a_row: int = 0


@dataclass(slots=True, eq=False)
class Redelivery:
    """Expectation that the next messages of a partition are stored already.

    True from the assignment of the partition on, because an earlier consumer may have finished
    messages behind its last commit, until a batch of the partition has none that is stored.
    """

    expected: bool = True


@dataclass(slots=True, eq=False)
class TrackedOffset:
    """Offset of a message in flight; only `Offsets` changes its state.

    `dropped`: this process must not commit the offset any more. `refused` is the result of the
    message, set before it is done, None if it neither counts as a refusal nor ends a row of them;
    `refusals` and `redelivery` are shared by all messages of the partition.
    """

    partition: Partition
    offset: int
    epoch: int | None = None
    refusals: Refusals = field(default_factory=Refusals)
    redelivery: Redelivery = field(default_factory=Redelivery)
    refused: bool | None = False
    state: Literal["open", "done", "dropped"] = "open"

    @property
    def dropped(self) -> bool:
        """True if another member has this message, or this one will read it again."""
        return self.state == "dropped"


@dataclass(slots=True)
class _Track:
    """State of one assigned partition.

    `tracked_offsets` are in order of offset and start with an unfinished one. `behind` and `epoch`
    are offset and leader epoch of the last message before them, `refused` is the number of messages
    in a row that were refused and end with that one.
    """

    tracked_offsets: deque[TrackedOffset] = field(default_factory=deque)
    next: int | None = None
    committed: int | None = None
    behind: int | None = None
    epoch: int | None = None
    refused: int = 0
    refusals: Refusals = field(default_factory=Refusals)
    redelivery: Redelivery = field(default_factory=Redelivery)

    @property
    def position(self) -> int | None:
        return self.tracked_offsets[0].offset if self.tracked_offsets else self.next


class Offsets:
    """Offsets of all partitions that are assigned to this member."""

    def __init__(self) -> None:
        self._tracks: dict[Partition, _Track] = {}

    def assigned(self, places: Mapping[Partition, Place | None]) -> None:
        """Start to track partitions from the group's positions; forgets earlier state of them."""
        for partition, place in places.items():
            self._drop(partition)
            track = self._tracks[partition] = _Track()
            if place is not None:
                track.next = track.committed = place.offset
                track.behind, track.epoch = place.offset - 1, place.epoch
                track.refused = track.refusals.in_a_row = place.refused

    def taken(self, partition: Partition, offset: int, epoch: int | None = None) -> TrackedOffset:
        """Track a message that was read; raises KeyError if its partition is not assigned.

        `epoch` is that of the leader that appended it.
        """
        track = self._tracks[partition]
        if track.next is None:
            # The first message read is at the committed position, so nothing is to commit.
            track.committed = offset
        elif offset < track.next:
            self.rewound(partition, offset)
        tracked = TrackedOffset(partition, offset, epoch, track.refusals, track.redelivery)
        track.tracked_offsets.append(tracked)
        track.next = offset + 1
        return tracked

    def ended(self, partition: Partition, offset: int) -> None:
        """Skip the offsets before the end of the log that no message has.

        These are the markers of transactions, aborted messages, and deleted ones.
        """
        if self.behind_end(partition, offset):
            self._tracks[partition].next = offset

    def next(self, partition: Partition) -> int | None:
        """Offset after the last one that was read; None if it is unknown."""
        track = self._tracks.get(partition)
        return track.next if track else None

    def behind_end(self, partition: Partition, offset: int) -> bool:
        """True if offsets before this end of the log were not read."""
        track = self._tracks.get(partition)
        return track is not None and (track.next is None or track.next < offset)

    def done(self, tracked: TrackedOffset) -> None:
        """Mark a message as durably processed or dead-lettered; no effect if it was dropped."""
        if tracked.state != "open":
            return
        tracked.state = "done"
        track = self._tracks[tracked.partition]
        while track.tracked_offsets and track.tracked_offsets[0].state == "done":
            first = track.tracked_offsets.popleft()
            track.behind, track.epoch = first.offset, first.epoch
            if first.refused is not None:
                track.refused = track.refused + 1 if first.refused else 0

    def rewound(self, partition: Partition, offset: int) -> None:
        """Drop messages from this offset on: they will be read again."""
        track = self._tracks.get(partition)
        if track is None or track.next is None or track.next <= offset:
            return
        while track.tracked_offsets and track.tracked_offsets[-1].offset >= offset:
            track.tracked_offsets.pop().state = "dropped"
        if track.behind is not None and track.behind >= offset:
            track.behind = track.epoch = None
            track.refused = 0
        track.next = offset

    def to_commit(self, only: Iterable[Partition] | None = None) -> dict[Partition, int]:
        """Positions that changed since the last call; `refused` makes it return them again."""
        wanted = self._tracks if only is None else [p for p in only if p in self._tracks]
        changed: dict[Partition, int] = {}
        for partition in wanted:
            track = self._tracks[partition]
            if track.position is not None and track.position != track.committed:
                changed[partition] = track.committed = track.position
        return changed

    def epoch(self, partition: Partition) -> int | None:
        """Leader epoch of the message before the position; None if unknown."""
        track = self._tracks.get(partition)
        return track.epoch if track else None

    def refused_in_a_row(self, partition: Partition) -> int:
        """Number of messages directly before the position that were refused."""
        track = self._tracks.get(partition)
        return track.refused if track else 0

    def refused(self, offsets: Mapping[Partition, int]) -> None:
        """Make `to_commit` return failed commits again, unless newer ones were returned."""
        for partition, offset in offsets.items():
            track = self._tracks.get(partition)
            if track is not None and track.committed == offset:
                track.committed = None

    def revoked(self, partitions: Iterable[Partition]) -> None:
        """Stop tracking partitions; call `to_commit` first if commits are still allowed."""
        for partition in partitions:
            self._drop(partition)

    def waiting(self, partition: Partition) -> int:
        """Number of messages, done or not, behind the first unfinished one, itself included."""
        track = self._tracks.get(partition)
        return len(track.tracked_offsets) if track else 0

    def open(self, partitions: Iterable[Partition]) -> int:
        """Number of unfinished messages of these partitions."""
        tracks = [self._tracks[p] for p in partitions if p in self._tracks]
        return sum(tracked.state == "open" for track in tracks for tracked in track.tracked_offsets)

    @property
    def partitions(self) -> frozenset[Partition]:
        """All assigned partitions."""
        return frozenset(self._tracks)

    def _drop(self, partition: Partition) -> None:
        track = self._tracks.pop(partition, None)
        for tracked in track.tracked_offsets if track else ():
            tracked.state = "dropped"
