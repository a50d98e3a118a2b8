"""The blocking half of the consumer: all that happens on the Kafka thread.

`Offsets` and the client belong to that thread alone. What finishes elsewhere comes to it through
a queue, so neither needs a lock.
"""

import logging
import queue
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest.kafka import GroupConsumer
from ingest.librdkafka import GroupState
from ingest.messages import Message
from ingest.offsets import Offsets, Partition, Ticket
from ingest.settings import IngestSettings

_log = logging.getLogger(__name__)

# One small request; what a topic that was made again receives meanwhile may be read under the
# old one's id, and then once more under its own.
_CHECK_TOPIC_SECONDS = 5.0


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
    """Messages in, finished tickets in, commits out. `finish` is for any thread."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._offsets = Offsets()
        self._finished: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
        self._gathered: list[tuple[Message, Ticket]] = []
        self._held: frozenset[Partition] = frozenset()
        self._committed_at = self._checked_at = time.monotonic()
        self._client = GroupConsumer(settings, self)
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
        self._check_if_due()
        paused = self._to_pause(turn)
        self._client.pause(paused)
        self._gathered = []
        self._read(turn)
        batch, self._gathered = self._gathered, []
        self.state = StreamState(
            time.monotonic(), len(self._offsets.partitions), len(paused), self._client.state
        )
        return batch

    def close(self) -> None:
        """Commit what is durable and leave the group; tickets under way are dropped."""
        self._collect()
        if offsets := self._offsets.to_commit():
            self._client.commit_now(offsets)
        # Nobody finishes what is still under way: nothing to wait for when it is revoked.
        self._offsets.revoked(self._offsets.partitions)
        self._client.close()

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Listener: these are ours."""
        _log.info("assigned: %s", partitions)
        self._offsets.assigned(partitions)

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
            self._client.commit_now(offsets)
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
                ticket = self._offsets.taken(message.source, message.offset)
                self._gathered.append((message, ticket))
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

    def _check_if_due(self) -> None:
        if time.monotonic() - self._checked_at >= _CHECK_TOPIC_SECONDS:
            self._client.check_topic()
            self._checked_at = time.monotonic()

    def _commit_if_due(self) -> None:
        now = time.monotonic()
        if now - self._committed_at < self._settings.kafka_commit_interval_seconds:
            return
        self._committed_at = now
        if offsets := self._offsets.to_commit():
            self._client.commit(offsets)
