"""Blocking part of the consumer, which runs on the Kafka thread.

Only that thread uses `Offsets` and the client. Finished messages reach the thread through a queue,
so neither needs a lock.
"""

import queue
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ingest.errors import KafkaUnavailable
from ingest.group_client import Connect
from ingest.kafka import GroupConsumer
from ingest.librdkafka import GroupState
from ingest.messages import Message
from ingest.offsets import Offsets, Partition, TrackedOffset
from ingest.positions import Place, begin
from ingest.progress import unexplained_seconds
from ingest.settings import IngestSettings
from ingest.silence import SilenceWatch
from ingest.transactions import OpenTransactions
from lake.errors import Fault
from lake.logs import logger

log = logger(__name__)

# Interval of topic id checks without messages; with messages, every batch is checked. It detects a
# topic that was created again and is empty or shorter than before.
_CHECK_TOPIC_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class PollPlan:
    """Limits of one turn: bytes and messages to read (0: only poll the client), longest wait."""

    max_bytes: int
    max_messages: int
    wait_seconds: float

    @property
    def reads(self) -> bool:
        """True if the turn may read a message."""
        return self.max_bytes > 0 and self.max_messages > 0


@dataclass(frozen=True, slots=True)
class StreamState:
    """State after the last turn, which ended at `turned_at` (seconds, monotonic clock)."""

    turned_at: float = 0.0
    partitions: int = 0
    paused: int = 0
    group: GroupState = field(default_factory=GroupState)
    deleted: int = 0
    """Number of offsets that Kafka deleted before they were read."""
    fault: Fault | None = None
    """Reason why messages that exist are not processed."""
    remark: Fault | None = None
    """Transaction of a producer that holds up a partition."""


class Stream:
    """Reads messages and commits finished ones. `finish` may be called from any thread.

    A message is returned only after the cluster has confirmed the topic's id. Topic ids are never
    reused, so an equal id proves that the topic did not change since reading began.
    """

    def __init__(self, settings: IngestSettings, connect: Connect = GroupConsumer) -> None:
        self._settings = settings
        self._offsets = Offsets()
        self._topic_ids: dict[Partition, str] = {}
        self._finished: queue.SimpleQueue[TrackedOffset] = queue.SimpleQueue()
        self._gathered: list[tuple[Message, TrackedOffset]] = []
        self._ends: dict[Partition, int] = {}
        self._gaps: list[tuple[Partition, int, int]] = []
        self._deleted = 0
        self._held: frozenset[Partition] = frozenset()
        self._committed_at = self._checked_at = time.monotonic()
        self._unsure_since: float | None = None
        limit = unexplained_seconds(settings.kafka_stall_seconds)
        self._silence, self._transactions = SilenceWatch(limit), OpenTransactions(limit)
        self._client = connect(settings, self)
        self.state = StreamState()

    def finish(self, tracked: TrackedOffset) -> None:
        """Report a message as durably processed or dead-lettered."""
        self._finished.put(tracked)

    def interrupt(self) -> None:
        """End a turn that waits for the cluster; call it before `close`, from any thread."""
        self._client.interrupt()

    def turn(self, turn: PollPlan) -> list[tuple[Message, TrackedOffset]]:
        """Commit if due, pause and resume partitions, read one batch; raises StreamStopped."""
        self._collect()
        self._commit_if_due()
        if self._gathered:
            # Messages of the last turn wait for the confirmation of their topic.
            turn = PollPlan(0, 0, turn.wait_seconds)
        paused = self._to_pause(turn)
        self._client.pause(paused)
        self._read(turn)
        batch = self._sure()
        self._watch(paused)
        self.state = StreamState(
            time.monotonic(),
            len(self._offsets.partitions),
            len(paused),
            self._client.state.with_unread(self._silence.unread(self._begun())),
            self._deleted,
            self._unsure() or self._silence.fault,
            self._transactions.remark,
        )
        return batch

    def close(self) -> None:
        """Commit durable offsets and leave the group; drops unfinished messages."""
        self._collect()
        if offsets := self._offsets.to_commit():
            self._client.commit_now(self._places(offsets))
        # Unfinished messages will not finish any more, so the revocation must not wait for them.
        self._offsets.revoked(self._offsets.partitions)
        self._client.close()

    def assigned(
        self, committed: Mapping[Partition, Place | None], topic_ids: Mapping[str, str]
    ) -> Mapping[Partition, Place | None]:
        """Listener: start at the group's positions, if they are of the current topics."""
        self._topic_ids |= {p: topic_ids[p.topic] for p in committed}
        places = {p: begin(place, p.topic, topic_ids[p.topic]) for p, place in committed.items()}
        self._offsets.assigned(places)
        log.info("partitions assigned", places=[f"{p}: {place}" for p, place in places.items()])
        return places

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Listener: wait a moment for unfinished messages, commit, drop the rest."""
        log.info("partitions revoked", partitions=list(map(str, partitions)))
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
        """Listener: drop partitions of another member without a commit."""
        log.warning("partitions lost", partitions=list(map(str, partitions)))
        self._hand_back(partitions)
        self._offsets.revoked(partitions)

    def ended(self, partition: Partition, offset: int) -> None:
        """Listener: skip offsets without a message, once the topic is confirmed."""
        if self._offsets.behind_end(partition, offset):
            self._note_gap(partition, offset)
            self._ends[partition] = offset

    def commit_refused(self, offsets: Mapping[Partition, int]) -> None:
        """Listener: commit these offsets again later."""
        self._offsets.refused(offsets)

    def _read(self, turn: PollPlan) -> None:
        """Wait for the first message, then read the messages that are available."""
        size, wait = 0, turn.wait_seconds
        while True:
            message = self._client.poll(wait)
            if message is not None:
                at = message.source
                self._ends.pop(at, None)  # the log has grown, or it was truncated
                self._note_gap(at, message.offset)
                tracked = self._offsets.taken(at, message.offset, message.epoch)
                self._gathered.append((replace(message, topic_id=self._topic_ids[at]), tracked))
                size += message.size
            # Check the limits in a pause, too: an already fetched message may arrive.
            if message is None or size >= turn.max_bytes:
                return
            if len(self._gathered) >= turn.max_messages:
                return
            wait = 0

    def _note_gap(self, partition: Partition, offset: int) -> None:
        """Note the offsets before `offset` that Kafka deleted before they were read.

        Transactions and compaction leave gaps, too, but the log then begins before the gap.
        """
        expected = self._offsets.next(partition)
        if expected is None or expected >= offset:
            return
        first = self._client.first_offset(partition)
        if first is not None and first > expected:
            self._gaps.append((partition, expected, min(first, offset)))

    def _report_gaps(self) -> None:
        for partition, first, behind in self._gaps:
            self._deleted += behind - first
            log.error(
                "Kafka deleted messages before they were read",
                topic=partition.topic,
                partition=partition.number,
                first_offset=first,
                next_offset=behind,
                messages=behind - first,
            )
        self._gaps.clear()

    def _hand_back(self, partitions: Sequence[Partition]) -> None:
        """Drop messages that were read but not handed to a worker yet."""
        self._ends = {p: end for p, end in self._ends.items() if p not in partitions}
        self._gaps = [gap for gap in self._gaps if gap[0] not in partitions]
        for message, tracked in self._gathered:
            if message.source in partitions:
                self._offsets.rewound(tracked.partition, tracked.offset)
        self._gathered = [pair for pair in self._gathered if not pair[1].dropped]

    def _to_pause(self, turn: PollPlan) -> frozenset[Partition]:
        """Partitions to pause: all if nothing may be read, else those with too many uncommitted."""
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

    def _sure(self) -> list[tuple[Message, TrackedOffset]]:
        """Return the messages read so far, once their topics are confirmed; else nothing."""
        due = time.monotonic() - self._checked_at >= _CHECK_TOPIC_SECONDS
        if self._gathered or self._ends or due:
            if not self._same_topics():
                self._unsure_since = self._unsure_since or time.monotonic()
                return []
            self._unsure_since = None
        self._report_gaps()
        for partition, offset in self._ends.items():
            self._offsets.ended(partition, offset)
        self._ends.clear()
        batch, self._gathered = self._gathered, []
        return batch

    def _unsure(self) -> Fault | None:
        """Reason why messages that were read wait: nobody confirms that their topic is the same."""
        seconds = 0.0 if self._unsure_since is None else time.monotonic() - self._unsure_since
        if seconds < self._settings.kafka_stall_seconds:
            return None
        detail = f"the cluster has not confirmed the id of the topic for {round(seconds)} s"
        return Fault(KafkaUnavailable.code, detail, value=round(seconds))

    def _same_topics(self) -> bool:
        """Check the topic ids and rejoin if one changed; False if the cluster does not answer."""
        partitions = self._offsets.partitions
        ids = {p.topic: self._client.topic_id(p.topic) for p in partitions}
        if None in ids.values():
            return False
        self._checked_at = time.monotonic()
        # A broker without topic ids returns the name, which never counts as a change.
        changed = {p.topic for p in partitions if ids[p.topic] not in (p.topic, self._topic_ids[p])}
        if changed:
            log.warning("topics created again; reading from the beginning", topics=sorted(changed))
        elif self._client.was_away:
            # The cluster may have lost the end of a log, and then it assigns offsets again.
            log.warning("the cluster was unavailable; reading from the committed offsets")
        if changed or self._client.was_away:
            self._begin_anew()
        return True

    def _watch(self, paused: frozenset[Partition]) -> None:
        """Look for open transactions, and replace a client that gets nothing of a partition."""
        now = time.monotonic()
        self._transactions.look(now, self._client.state.held)
        self._silence.paused(paused)
        positions = self._positions()
        self._silence.moved(positions)
        self._silence.forget_all_but(positions)
        if not positions or not self._silence.due(now):
            return
        if silent := self._silence.look(now, positions, self._client.end_offsets(positions)):
            log.warning("partitions deliver nothing; joining again", partitions=silent)
            self._begin_anew()

    def _positions(self) -> dict[Partition, int]:
        """Next offset to read of each partition.

        The end that the client reported counts as read, also before the topic is confirmed.
        """
        return {
            p: self._ends.get(p) or self._offsets.next(p) or 0 for p in self._offsets.partitions
        }

    def _begun(self) -> dict[Partition, int]:
        """Positions of the partitions whose position is known."""
        known = {p: self._ends.get(p) or self._offsets.next(p) for p in self._offsets.partitions}
        return {partition: at for partition, at in known.items() if at is not None}

    def _begin_anew(self) -> None:
        """Drop messages in flight, and join the group again with a new client."""
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
            p: Place(
                offset,
                self._topic_ids[p],
                self._offsets.epoch(p),
                self._offsets.refused_in_a_row(p),
            )
            for p, offset in offsets.items()
        }
