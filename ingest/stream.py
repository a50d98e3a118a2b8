"""The blocking half of the consumer: all that happens on the Kafka thread.

`Offsets` and the client belong to that thread alone. What finishes elsewhere comes to it through
a queue, so neither needs a lock.
"""

import logging
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ingest.kafka import GroupConsumer
from ingest.librdkafka import GroupState
from ingest.messages import Message
from ingest.offsets import Listener, Offsets, Partition, Ticket
from ingest.positions import Place, begin
from ingest.settings import IngestSettings

_log = logging.getLogger(__name__)

# One small request. With messages it is asked for each batch; this is for a topic that was made
# again and is empty, or shorter than the old one was.
_CHECK_TOPIC_SECONDS = 5.0


class Client(Protocol):
    """A member of the group: `GroupConsumer`, as far as it is needed here."""

    @property
    def state(self) -> GroupState:
        """What it last heard from the cluster."""

    @property
    def was_away(self) -> bool:
        """Whether all brokers were away at some time since it joined."""

    def poll(self, timeout: float) -> Message | None:
        """The next message, or None after `timeout` seconds; raises StreamStopped."""

    def topic_id(self, topic: str) -> str | None:
        """The topic's id as it is now; None if the cluster does not say."""

    def pause(self, wanted: frozenset[Partition]) -> None:
        """From now on read of our partitions all but these."""

    def commit(self, places: Mapping[Partition, Place]) -> None:
        """Send a commit; `Listener.commit_refused` hears of it if it fails."""

    def commit_now(self, places: Mapping[Partition, Place]) -> None:
        """Commit, and return when the broker has it, or has refused it."""

    def renew(self) -> None:
        """Leave the group, forget what was known of the cluster, and join again."""

    def interrupt(self) -> None:
        """End a call that waits for the cluster; for any thread."""

    def close(self) -> None:
        """Leave the group."""


Connect = Callable[[IngestSettings, Listener], Client]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn may do: how much to read (nothing: only serve the client), how long to wait."""

    max_bytes: int
    max_messages: int
    wait_seconds: float

    @property
    def reads(self) -> bool:
        """Whether there is room for a message."""
        return self.max_bytes > 0 and self.max_messages > 0


@dataclass(frozen=True, slots=True)
class StreamState:
    """As of the last turn, which ended at `turned_at` (seconds, monotonic clock)."""

    turned_at: float = 0.0
    partitions: int = 0
    paused: int = 0
    group: GroupState = field(default_factory=GroupState)


class Stream:
    """Messages in, finished tickets in, commits out. `finish` is for any thread.

    A message is handed out once the cluster has said that its topic is still the one in which
    reading began: ids of topics never come again, so it was that one all the time between.
    """

    def __init__(self, settings: IngestSettings, connect: Connect = GroupConsumer) -> None:
        self._settings = settings
        self._offsets = Offsets()
        self._topic_ids: dict[Partition, str] = {}
        self._finished: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
        self._gathered: list[tuple[Message, Ticket]] = []
        self._held: frozenset[Partition] = frozenset()
        self._committed_at = self._checked_at = time.monotonic()
        self._client = connect(settings, self)
        self.state = StreamState()

    def finish(self, ticket: Ticket) -> None:
        """What this message asked for is durable, or its dead letter is."""
        self._finished.put(ticket)

    def interrupt(self) -> None:
        """Let a turn that waits for the cluster end; for any thread, before `close`."""
        self._client.interrupt()

    def turn(self, turn: Turn) -> list[tuple[Message, Ticket]]:
        """Commit what is due, pause what is to wait, read one batch; raises StreamStopped."""
        self._collect()
        self._commit_if_due()
        if self._gathered:
            # Of the last turn: their topic is still unsure.
            turn = Turn(0, 0, turn.wait_seconds)
        paused = self._to_pause(turn)
        self._client.pause(paused)
        self._read(turn)
        batch = self._sure()
        self.state = StreamState(
            time.monotonic(), len(self._offsets.partitions), len(paused), self._client.state
        )
        return batch

    def close(self) -> None:
        """Commit what is durable and leave the group; tickets under way are dropped."""
        self._collect()
        if offsets := self._offsets.to_commit():
            self._client.commit_now(self._places(offsets))
        # Nobody finishes what is still under way: nothing to wait for when it is revoked.
        self._offsets.revoked(self._offsets.partitions)
        self._client.close()

    def assigned(
        self, committed: Mapping[Partition, Place | None], topic_ids: Mapping[str, str]
    ) -> Mapping[Partition, Place | None]:
        """Listener: these are ours. Begin where the group stands in the topics of now."""
        self._topic_ids |= {p: topic_ids[p.topic] for p in committed}
        self._offsets.assigned(committed)
        places = {p: begin(place, p.topic, topic_ids[p.topic]) for p, place in committed.items()}
        _log.info("assigned: %s", places)
        return places

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Listener: these go. Give what is under way a moment, commit, drop the rest."""
        _log.info("revoked: %s", partitions)
        self._hand_back(partitions)
        ends = time.monotonic() + self._settings.kafka_revoke_wait_seconds
        while self._offsets.open(partitions) and (left := ends - time.monotonic()) > 0:
            try:
                self._offsets.done(self._finished.get(timeout=left))
            except queue.Empty:
                break
        self._collect()
        if offsets := self._offsets.to_commit(partitions):
            self._client.commit_now(self._places(offsets))
        self._offsets.revoked(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Listener: these are somebody else's already; nothing may be committed."""
        _log.warning("lost: %s", partitions)
        self._hand_back(partitions)
        self._offsets.revoked(partitions)

    def commit_refused(self, offsets: Mapping[Partition, int]) -> None:
        """Listener: give them out again."""
        self._offsets.refused(offsets)

    def _read(self, turn: Turn) -> None:
        """Wait for the first message, then take what is there."""
        size, wait = 0, turn.wait_seconds
        while True:
            message = self._client.poll(wait)
            if message is not None:
                at = message.source
                ticket = self._offsets.taken(at, message.offset, message.epoch)
                self._gathered.append((replace(message, topic_id=self._topic_ids[at]), ticket))
                size += message.size
            # Without room a message may still come that was on its way when we paused.
            if message is None or size >= turn.max_bytes:
                return
            if len(self._gathered) >= turn.max_messages:
                return
            wait = 0

    def _hand_back(self, partitions: Sequence[Partition]) -> None:
        """Messages of this very turn can't be waited for: nobody works on them yet."""
        for message, ticket in self._gathered:
            if message.source in partitions:
                self._offsets.rewound(ticket.partition, ticket.offset)
        self._gathered = [pair for pair in self._gathered if not pair[1].dropped]

    def _to_pause(self, turn: Turn) -> frozenset[Partition]:
        """All of them without room; else those that are too far ahead of an unfinished message."""
        if not turn.reads:
            return self._offsets.partitions
        limit = self._settings.kafka_max_uncommitted_messages
        waiting = {p: self._offsets.waiting(p) for p in self._offsets.partitions}
        self._held = frozenset(
            p for p, n in waiting.items() if n >= limit or (p in self._held and n > limit // 2)
        )
        return self._held

    def _collect(self) -> None:
        while True:
            try:
                self._offsets.done(self._finished.get_nowait())
            except queue.Empty:
                return

    def _sure(self) -> list[tuple[Message, Ticket]]:
        """What was gathered, once the cluster has said that its topics are still the same."""
        due = time.monotonic() - self._checked_at >= _CHECK_TOPIC_SECONDS
        if (self._gathered or due) and not self._same_topics():
            return []
        batch, self._gathered = self._gathered, []
        return batch

    def _same_topics(self) -> bool:
        """Ask for the ids of our topics; where one is another, begin anew. False: don't know."""
        partitions = self._offsets.partitions
        found = {p.topic: self._client.topic_id(p.topic) for p in partitions}
        if None in found.values():
            return False
        self._checked_at = time.monotonic()
        # A broker that has no ids says the name: that contradicts nothing.
        changed = {
            p.topic for p in partitions if found[p.topic] not in (p.topic, self._topic_ids[p])
        }
        if changed:
            _log.warning("made again, read from the beginning: topics %s", sorted(changed))
        elif self._client.was_away:
            # It may have come back with less than it had, and our offsets be given out again.
            _log.warning("the cluster was away: reading from where the group stands")
        if changed or self._client.was_away:
            self._begin_anew()
        return True

    def _begin_anew(self) -> None:
        """Drop what is under way, and join the group with a client that knows nothing old."""
        self.lost(sorted(self._offsets.partitions))
        self._client.renew()

    def _commit_if_due(self) -> None:
        now = time.monotonic()
        if now - self._committed_at < self._settings.kafka_commit_interval_seconds:
            return
        self._committed_at = now
        if offsets := self._offsets.to_commit():
            self._client.commit(self._places(offsets))

    def _places(self, offsets: Mapping[Partition, int]) -> dict[Partition, Place]:
        return {
            p: Place(offset, self._topic_ids[p], self._offsets.epoch(p))
            for p, offset in offsets.items()
        }
