"""The consumer and the producer of the Kafka client (confluent-kafka, which wraps librdkafka).

Only this file and `ingest.cluster` import it.

What it needs from the cluster: READ and DESCRIBE on the topic, READ on the group, WRITE on the
dead-letter topic; CREATE on both only if they are not there and `kafka_create_topics` is on.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_CREATE_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka import Message as RawMessage
from confluent_kafka.admin import AdminClient

from ingest.errors import KafkaUnavailable, MessageTooLarge, StreamStopped
from ingest.librdkafka import (
    DELIVERY_MS,
    GroupState,
    client_config,
    consumer_config,
    group_state,
    producer_config,
)
from ingest.messages import Headers, Message, moment
from ingest.offsets import Listener, Partition
from ingest.settings import IngestSettings

_log = logging.getLogger(__name__)

_ADMIN_SECONDS = 5.0
_CHECK_SECONDS = 2.0
_RETRY_SECONDS = 1.0
_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE}
# What a broker answers that knows no topic ids; any other fault is asked about again.
_NO_IDS = {KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE}  # noqa: SLF001
_ZERO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
# Faults come with answers and by `error_cb`; the library's own log has the same, many times over.
SILENT = {"log_level": 0}


class GroupConsumer:
    """A member of the consumer group. Every method blocks; all belong to one thread."""

    def __init__(self, settings: IngestSettings, listener: Listener) -> None:
        self._listener = listener
        self._topic_ids = TopicIds(settings)
        self._assigned: frozenset[Partition] = frozenset()
        self._paused: frozenset[Partition] = frozenset()
        self._fatal: str | None = None
        self._error: str | None = None
        self.state = GroupState()
        config = {
            **consumer_config(settings),
            **SILENT,
            "error_cb": self._on_error,
            "stats_cb": self._on_stats,
            "on_commit": self._on_commit,
        }
        self._client = Consumer(config)
        self._client.subscribe(
            [settings.kafka_topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def poll(self, timeout: float) -> Message | None:
        """The next message, or None after `timeout` seconds; raises StreamStopped."""
        raw = self._client.poll(timeout)
        if self._fatal is not None:
            raise StreamStopped(self._fatal)
        if raw is None:
            return None
        if (error := raw.error()) is not None:
            self._on_error(error)
            return None
        return self._message(raw)

    def check_topic(self) -> None:
        """Begin anew with a topic that was deleted and made again, which nobody else notices.

        The client goes on at its old offset, where the new topic may not be for a long time.
        """
        for topic in {partition.topic for partition in self._assigned}:
            if self._topic_ids.changed(topic):
                _log.warning("topic %s was made again", topic)
                again = sorted(p for p in self._assigned if p.topic == topic)
                self._listener.lost(again)
                self._listener.assigned(again)
                for partition in again:
                    self._client.seek(TopicPartition(topic, partition.number, OFFSET_BEGINNING))

    def pause(self, wanted: frozenset[Partition]) -> None:
        """From now on read of our partitions all but these."""
        # Pausing throws away what was fetched ahead, so only changes are sent on.
        if more := wanted - self._paused:
            self._client.pause(_positions(more))
        if fewer := self._paused - wanted:
            self._client.resume(_positions(fewer))
        self._paused = wanted

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Send a commit; `Listener.commit_refused` hears of it if it fails."""
        try:
            self._client.commit(offsets=_offsets(offsets), asynchronous=True)
        except KafkaException as error:
            self._refused(offsets, reason_of(error))

    def commit_now(self, offsets: Mapping[Partition, int]) -> None:
        """Commit, and return when the broker has it, or has refused it."""
        try:
            answers = self._client.commit(offsets=_offsets(offsets), asynchronous=False)
        except KafkaException as error:
            self._refused(offsets, reason_of(error))
        else:
            self._on_commit(None, answers or [])

    def interrupt(self) -> None:
        """End a `poll` that waits for the cluster to tell a topic's id; for any thread."""
        self._topic_ids.close()

    def close(self) -> None:
        """Leave the group."""
        self._client.close()

    def _message(self, raw: RawMessage) -> Message:
        topic, number, offset = raw.topic() or "", raw.partition() or 0, raw.offset() or 0
        headers, fault = _headers(raw)
        kind, milliseconds = raw.timestamp()
        return Message(
            topic=topic,
            topic_id=self._topic_ids.find(topic),
            partition=number,
            offset=offset,
            value=raw.value(),
            key=raw.key(),
            headers=headers,
            headers_fault=fault,
            timestamp=moment(milliseconds) if kind == TIMESTAMP_CREATE_TIME else None,
        )

    def _on_assign(self, _client: Consumer, positions: list[TopicPartition]) -> None:
        partitions = _partitions(positions)
        for topic in {partition.topic for partition in partitions}:
            # Here, for the same `poll` may bring their first message.
            self._topic_ids.renew(topic)
        self._assigned |= frozenset(partitions)
        self._listener.assigned(partitions)
        # Statistics would say so a second later.
        self.state = replace(self.state, member=True)

    def _on_revoke(self, _client: Consumer, positions: list[TopicPartition]) -> None:
        self._listener.revoked(self._gone(positions))

    def _on_lost(self, _client: Consumer, positions: list[TopicPartition]) -> None:
        self._listener.lost(self._gone(positions))

    def _gone(self, positions: list[TopicPartition]) -> list[Partition]:
        gone = _partitions(positions)
        self._paused -= frozenset(gone)
        self._assigned -= frozenset(gone)
        return gone

    def _on_commit(self, error: KafkaError | None, positions: list[TopicPartition]) -> None:
        for position in positions:
            fault = position.error or error
            if fault is not None and position.offset >= 0:
                self._refused({_partition(position): position.offset}, fault.str())

    def _refused(self, offsets: Mapping[Partition, int], reason: str) -> None:
        _log.warning("commit of %s refused: %s", dict(offsets), reason)
        self._listener.commit_refused(offsets)

    def _on_error(self, error: KafkaError) -> None:
        if error.str() != self._error:
            _log.warning("Kafka: %s", error.str())
        self._error = error.str()
        if error.fatal():
            self._fatal = self._error

    def _on_stats(self, text: str) -> None:
        state = group_state(text, self._error)
        if state.member:
            self._error = None
        self.state = state


class TopicIds:
    """UUIDs of topics. A broker that has none gives the topic's name in place of it."""

    def __init__(self, settings: IngestSettings) -> None:
        self._admin = AdminClient(client_config(settings) | SILENT)
        self._found: dict[str, str] = {}
        self._closed = threading.Event()

    def find(self, topic: str) -> str:
        """The topic's id; waits for the cluster as long as it takes, for no id is a guess."""
        while topic not in self._found:
            try:
                self._found[topic] = self._ask(topic, _ADMIN_SECONDS)
            except KafkaException as error:
                _log.warning("id of topic %s: %s", topic, reason_of(error))
                if self._closed.wait(_RETRY_SECONDS):
                    raise StreamStopped(f"closed before the id of {topic} was known") from error
        return self._found[topic]

    def changed(self, topic: str) -> bool:
        """Whether the topic has another id than before; False if the cluster does not say."""
        try:
            found = self._ask(topic, _CHECK_SECONDS)
        except KafkaException:
            return False
        before, self._found[topic] = self._found.get(topic), found
        return found != before

    def renew(self, topic: str) -> None:
        """Ask again; as patient as `find`."""
        self._found.pop(topic, None)
        self.find(topic)

    def close(self) -> None:
        """End a `find` that waits; may be called from any thread."""
        self._closed.set()

    def _ask(self, topic: str, seconds: float) -> str:
        answers = self._admin.describe_topics(TopicCollection([topic]), request_timeout=seconds)
        try:
            # The request's own time-out comes first, as a KafkaException.
            found = str(answers[topic].result(2 * seconds).topic_id)
        except KafkaException as error:
            if error.args[0].code() in _NO_IDS:
                return topic
            raise
        return topic if found == _ZERO_ID else found


class KafkaProducer:
    """Sends, and returns when the cluster has it. Safe in any number of tasks of one loop."""

    def __init__(self, settings: IngestSettings) -> None:
        self._config = producer_config(settings) | SILENT
        self._client = Producer(self._config)
        # One thread, not the loop's: while the cluster is away, sends wait in line here.
        self._thread = ThreadPoolExecutor(1, "kafka-producer")

    async def send(self, topic: str, value: bytes | None, key: bytes | None, head: Headers) -> None:
        """Raises MessageTooLarge or KafkaUnavailable (it may have arrived all the same)."""
        answers: list[KafkaError | None] = []
        try:
            self._client.produce(
                topic, value, key, headers=list(head), on_delivery=lambda e, _: answers.append(e)
            )
        except (KafkaException, BufferError) as error:
            raise _send_fault(error.args[0]) from error
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._client.flush, 2 * DELIVERY_MS / 1000)
        fault = answers[0] if answers else "no answer"
        if isinstance(fault, KafkaError) and fault.fatal():
            # A fatal fault ends this producer for good; the next send has a new one.
            self._client = Producer(self._config)
        if fault is not None:
            raise _send_fault(fault)

    async def close(self) -> None:
        """Give up what is not sent."""
        with contextlib.suppress(KafkaException):
            self._client.purge()
        await asyncio.to_thread(self._thread.shutdown)


def _offsets(offsets: Mapping[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(p.topic, p.number, offset) for p, offset in offsets.items()]


def _positions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    return [TopicPartition(p.topic, p.number) for p in partitions]


def _partition(position: TopicPartition) -> Partition:
    return Partition(position.topic, position.partition)


def _partitions(positions: Iterable[TopicPartition]) -> list[Partition]:
    return [_partition(position) for position in positions]


def _headers(raw: RawMessage) -> tuple[Headers, str | None]:
    """The headers, and why they can't be read if they can't: the client trips over names."""
    try:
        found = raw.headers() or []
    except (UnicodeError, SystemError):
        return (), "the name of a header is not UTF-8"
    pairs = found.items() if isinstance(found, dict) else found
    return tuple((n, v.encode() if isinstance(v, str) else v) for n, v in pairs), None


def reason_of(error: KafkaException) -> str:
    """What the client says of a fault."""
    fault = error.args[0]
    return fault.str() if isinstance(fault, KafkaError) else str(fault)


def _send_fault(fault: object) -> KafkaUnavailable | MessageTooLarge:
    if isinstance(fault, KafkaError):
        kind = MessageTooLarge if fault.code() in _TOO_LARGE else KafkaUnavailable
        return kind(fault.str())
    return KafkaUnavailable(str(fault))
