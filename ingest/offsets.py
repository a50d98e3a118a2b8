"""Which offsets may be committed: pure, no clock, no I/O, no threads.

Events in (`assigned`, `taken`, `done`, `rewound`, `revoked`), instructions out (`to_commit`).
The offset to commit is that of the next message to read: every message taken before it is done.
Offsets have gaps (compaction, transactions), and they may go back (a log that was truncated, a
topic that was made again): what is then read again is new work.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ingest.positions import Place


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One partition of a topic."""

    topic: str
    number: int


class Listener(Protocol):
    """Who is told what the client learns while it is served, on the thread that serves it."""

    def assigned(
        self, committed: Mapping[Partition, Place | None], topic_ids: Mapping[str, str]
    ) -> Mapping[Partition, Place | None]:
        """These are ours as well from now on; where to begin, None: at the beginning.

        `committed`: what the group committed; `topic_ids`: of their topics, asked for before.
        """

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """These go to another member; until this returns, they may still be committed."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """These went to another member already."""

    def commit_refused(self, offsets: Mapping[Partition, int]) -> None:
        """A commit that was sent did not succeed."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One message under way; only `Offsets` changes its state.

    `dropped`: whatever becomes of it, its offset is not ours to commit any more.
    """

    partition: Partition
    offset: int
    epoch: int | None = None
    state: Literal["open", "done", "dropped"] = "open"

    @property
    def dropped(self) -> bool:
        """Whether another reader has this message now, or this one will get it again."""
        return self.state == "dropped"


@dataclass(slots=True)
class _Track:
    """One partition in one assignment: tickets in order of offset, the first one not done.

    `behind`: the last message before them.
    """

    tickets: deque[Ticket] = field(default_factory=deque)
    next: int | None = None
    committed: int | None = None
    behind: Ticket | None = None

    @property
    def position(self) -> int | None:
        return self.tickets[0].offset if self.tickets else self.next


class Offsets:
    """The offsets of all partitions that this member of the group reads."""

    def __init__(self) -> None:
        self._tracks: dict[Partition, _Track] = {}

    def assigned(self, partitions: Iterable[Partition]) -> None:
        """These partitions are ours from now on; anything known of them is forgotten."""
        for partition in partitions:
            self._drop(partition)
            self._tracks[partition] = _Track()

    def taken(self, partition: Partition, offset: int, epoch: int | None = None) -> Ticket:
        """A message was read; raises KeyError if its partition is not ours.

        `epoch`: of the leader that appended it.
        """
        track = self._tracks[partition]
        if track.next is None:
            # Where we begin is where the group stands: nothing new to commit.
            track.committed = offset
        elif offset < track.next:
            self.rewound(partition, offset)
        ticket = Ticket(partition, offset, epoch)
        track.tickets.append(ticket)
        track.next = offset + 1
        return ticket

    def done(self, ticket: Ticket) -> None:
        """What the message asked for is durable, or its dead letter is. Dropped: no effect."""
        if ticket.state != "open":
            return
        ticket.state = "done"
        track = self._tracks[ticket.partition]
        while track.tickets and track.tickets[0].state == "done":
            track.behind = track.tickets.popleft()

    def rewound(self, partition: Partition, offset: int) -> None:
        """Messages from this offset on will come again (or were never handed out)."""
        track = self._tracks.get(partition)
        if track is None or track.next is None or track.next <= offset:
            return
        while track.tickets and track.tickets[-1].offset >= offset:
            track.tickets.pop().state = "dropped"
        if track.behind is not None and track.behind.offset >= offset:
            track.behind = None
        track.next = offset

    def to_commit(self, only: Iterable[Partition] | None = None) -> dict[Partition, int]:
        """Positions that changed since they were last asked for; `refused` asks again."""
        wanted = self._tracks if only is None else [p for p in only if p in self._tracks]
        found: dict[Partition, int] = {}
        for partition in wanted:
            track = self._tracks[partition]
            if track.position is not None and track.position != track.committed:
                found[partition] = track.committed = track.position
        return found

    def epoch(self, partition: Partition) -> int | None:
        """Leader epoch of the message before the position; None if it is not known."""
        track = self._tracks.get(partition)
        return track.behind.epoch if track and track.behind else None

    def refused(self, offsets: Mapping[Partition, int]) -> None:
        """These commits failed: give them out again, unless others went out meanwhile."""
        for partition, offset in offsets.items():
            track = self._tracks.get(partition)
            if track is not None and track.committed == offset:
                track.committed = None

    def revoked(self, partitions: Iterable[Partition]) -> None:
        """These partitions are not ours any more; take `to_commit` first, if we still may."""
        for partition in partitions:
            self._drop(partition)

    def waiting(self, partition: Partition) -> int:
        """Messages, done or not, that no commit covers yet."""
        track = self._tracks.get(partition)
        return len(track.tickets) if track else 0

    def open(self, partitions: Iterable[Partition]) -> int:
        """Messages of these partitions that are under way."""
        tracks = [self._tracks[p] for p in partitions if p in self._tracks]
        return sum(ticket.state == "open" for track in tracks for ticket in track.tickets)

    @property
    def partitions(self) -> frozenset[Partition]:
        """All partitions that are ours."""
        return frozenset(self._tracks)

    def _drop(self, partition: Partition) -> None:
        track = self._tracks.pop(partition, None)
        for ticket in track.tickets if track else ():
            ticket.state = "dropped"
