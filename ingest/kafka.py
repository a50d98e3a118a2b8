"""Member of the consumer group, built on confluent-kafka, which wraps librdkafka.

Required rights: READ and DESCRIBE on the topic, READ on the group, WRITE on the dead-letter topic;
CREATE on both topics only if they do not exist and `kafka_create_topics` is on.
"""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from operator import methodcaller
from typing import TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import Message as RawMessage

from ingest.errors import StreamStopped
from ingest.kafka_errors import reason_of
from ingest.librdkafka import SILENT, GroupState, consumer_config, group_state
from ingest.messages import Headers, Message, moment
from ingest.offsets import Listener, Partition
from ingest.positions import Place
from ingest.settings import IngestSettings
from ingest.topic_admin import TopicAdmin
from lake.logs import logger

T = TypeVar("T")
log = logger(__name__)

_ADMIN_SECONDS = 5.0
_CHECK_SECONDS = 2.0
_RETRY_SECONDS = 1.0
_MOST_NAME_BYTES = 100
# `raw.headers()` would raise at some later place: after some calls, the interpreter calls C methods
# without the check that a result and an exception do not come together.
_headers_checked = methodcaller("headers")


class GroupConsumer:
    """Member of the consumer group. Every method blocks; call all of them from one thread."""

    def __init__(self, settings: IngestSettings, listener: Listener) -> None:
        self._settings = settings
        self._listener = listener
        self._topics = TopicAdmin(settings)
        self._closing = threading.Event()
        self._fatal: str | None = None
        self._error: str | None = None
        self._join()

    def _join(self) -> None:
        self._paused: frozenset[Partition] = frozenset()
        self.was_away = False
        self.state = GroupState()
        config = {
            **consumer_config(self._settings),
            **SILENT,
            "error_cb": self._on_error,
            "stats_cb": self._on_stats,
            "on_commit": self._on_commit,
        }
        self._client = Consumer(config)
        self._client.subscribe(
            [self._settings.kafka_topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def poll(self, timeout: float) -> Message | None:
        """Read the next message, or None after `timeout` seconds; raises StreamStopped."""
        while True:
            raw = self._client.poll(timeout)
            if self._fatal is not None:
                raise StreamStopped(self._fatal)
            if raw is None:
                return None
            if (error := raw.error()) is None:
                return _message(raw)
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  # the library's name
                self._on_error(error)
                return None
            self._listener.ended(
                Partition(raw.topic() or "", raw.partition() or 0), raw.offset() or 0
            )
            timeout = 0

    def topic_id(self, topic: str) -> str | None:
        """Ask for the topic's current id; None if the cluster does not answer."""
        try:
            return self._topics.topic_id(topic, _CHECK_SECONDS)
        except KafkaException as error:
            log.warning("no id of the topic", topic=topic, error=reason_of(error))
            return None

    def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Ask for the ends of these logs; leaves out those for which nobody answers."""
        return self._topics.end_offsets(partitions, _CHECK_SECONDS)

    def first_offset(self, partition: Partition) -> int | None:
        """Offset at which the log began in the last answer of the cluster; None if unknown."""
        place = TopicPartition(partition.topic, partition.number)
        try:
            found = self._client.get_watermark_offsets(place, cached=True)
        except KafkaException:
            return None
        return found[0] if found and found[0] >= 0 else None

    def renew(self) -> None:
        """Leave the group and join again with a new client.

        A client caches leaders and their epochs. After a topic was created again, or a broker lost
        the end of its log, these are outdated, and the client may wait for ever.
        """
        self._client.close()
        self._join()

    def pause(self, wanted: frozenset[Partition]) -> None:
        """Pause these partitions and resume all others."""
        # Pausing discards fetched messages, so only changes are passed to the client.
        if more := wanted - self._paused:
            self._client.pause(_positions(more))
        if fewer := self._paused - wanted:
            self._client.resume(_positions(fewer))
        self._paused = wanted

    def commit(self, places: Mapping[Partition, Place]) -> None:
        """Send a commit; a failure is reported to `Listener.commit_refused`."""
        try:
            self._client.commit(offsets=_places(places), asynchronous=True)
        except KafkaException as error:
            self._refused({p: place.offset for p, place in places.items()}, reason_of(error))

    def commit_now(self, places: Mapping[Partition, Place]) -> None:
        """Commit, and return once the broker has accepted or refused it."""
        try:
            answers = self._client.commit(offsets=_places(places), asynchronous=False)
        except KafkaException as error:
            self._refused({p: place.offset for p, place in places.items()}, reason_of(error))
        else:
            self._on_commit(None, answers or [])

    def interrupt(self) -> None:
        """End a `poll` that waits for the cluster; may be called from any thread."""
        self._closing.set()

    def close(self) -> None:
        """Leave the group; gives up an assignment that the cluster has not answered yet."""
        with contextlib.suppress(StreamStopped):
            self._client.close()

    def _on_assign(self, client: Consumer, positions: list[TopicPartition]) -> None:
        """Start to read at the listener's positions; waits for the cluster as long as necessary.

        Topic ids are requested before the commits, so that neither commits nor messages can be of
        an earlier topic with the same name.
        """
        names = {position.topic for position in positions}
        ids = {name: self._patiently(partial(self._topics.topic_id, name)) for name in names}
        committed = self._patiently(partial(_committed, client, positions))
        places = self._listener.assigned(committed, ids)
        client.incremental_assign([_start(p, place) for p, place in places.items()])
        # The client keeps the pause of a partition that was taken away while it was paused.
        client.resume(_positions(places))
        # The statistics would report the membership a second later.
        self.state = replace(self.state, member=True)

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask the cluster until it answers, because a guess could lose data."""
        while True:
            try:
                return ask()
            except KafkaException as error:
                log.warning("asking again before reading starts", error=reason_of(error))
                if self._closing.wait(_RETRY_SECONDS):
                    raise StreamStopped("closed before the cluster answered") from error

    def _on_revoke(self, _client: Consumer, positions: list[TopicPartition]) -> None:
        self._listener.revoked(self._gone(positions))

    def _on_lost(self, _client: Consumer, positions: list[TopicPartition]) -> None:
        self._listener.lost(self._gone(positions))

    def _gone(self, positions: list[TopicPartition]) -> list[Partition]:
        gone = [_partition(position) for position in positions]
        self._paused -= frozenset(gone)
        return gone

    def _on_commit(self, error: KafkaError | None, positions: list[TopicPartition]) -> None:
        for position in positions:
            fault = position.error or error
            if fault is not None and position.offset >= 0:
                self._refused({_partition(position): position.offset}, fault.str())

    def _refused(self, offsets: Mapping[Partition, int], reason: str) -> None:
        log.warning(
            "commit refused", offsets=[f"{of}: {at}" for of, at in offsets.items()], error=reason
        )
        self._listener.commit_refused(offsets)

    def _on_error(self, error: KafkaError) -> None:
        if error.str() != self._error:
            log.warning("error of the Kafka client", error=error.str())
        self._error = error.str()
        self.was_away |= error.code() == KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001
        if error.fatal():
            self._fatal = self._error

    def _on_stats(self, text: str) -> None:
        state = group_state(text, self._error)
        if state.member:
            self._error = None
        self.state = state


def _places(places: Mapping[Partition, Place]) -> list[TopicPartition]:
    return [_at(partition, place) for partition, place in places.items()]


def _committed(client: Consumer, positions: list[TopicPartition]) -> dict[Partition, Place | None]:
    """Read the group's commits for these partitions; raises KafkaException."""
    answers = client.committed(positions, _ADMIN_SECONDS) if positions else []
    for position in answers:
        if position.error is not None:
            raise KafkaException(position.error)
    return {_partition(p): Place.committed(p.offset, p.metadata, p.leader_epoch) for p in answers}


def _start(partition: Partition, place: Place | None) -> TopicPartition:
    """Start position for the client; the beginning of the partition if `place` is None."""
    if place is None:
        return TopicPartition(partition.topic, partition.number, OFFSET_BEGINNING)
    return _at(partition, place)


def _at(partition: Partition, place: Place) -> TopicPartition:
    return TopicPartition(
        partition.topic,
        partition.number,
        place.offset,
        place.metadata,
        -1 if place.epoch is None else place.epoch,
    )


def _positions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    return [TopicPartition(p.topic, p.number) for p in partitions]


def _partition(position: TopicPartition) -> Partition:
    return Partition(position.topic, position.partition)


def _message(raw: RawMessage) -> Message:
    headers, fault = headers_of(raw)
    kind, milliseconds = raw.timestamp()
    return Message(
        topic=raw.topic() or "",
        topic_id="",  # `Stream` adds it
        partition=raw.partition() or 0,
        offset=raw.offset() or 0,
        value=raw.value(),
        key=raw.key(),
        headers=headers,
        headers_fault=fault,
        timestamp=moment(milliseconds) if kind == TIMESTAMP_CREATE_TIME else None,
        appended_at=moment(milliseconds) if kind == TIMESTAMP_LOG_APPEND_TIME else None,
        epoch=raw.leader_epoch(),
    )


def headers_of(raw: RawMessage) -> tuple[Headers, str | None]:
    """Headers, and the reason if they can't be read: the client fails for names not in UTF-8.

    Then it gives none of them. Its C code decodes each name strictly, and continues after a
    failure, so Python raises a SystemError whose cause has the bytes of a name.
    """
    try:
        headers = _headers_checked(raw) or []
    except (UnicodeError, SystemError) as error:
        cause = error if isinstance(error, UnicodeDecodeError) else error.__cause__
        name = cause.object[:_MOST_NAME_BYTES] if isinstance(cause, UnicodeDecodeError) else None
        return (), "the name of a header is not UTF-8" + (f": {name!r}" if name else "")
    pairs = headers.items() if isinstance(headers, dict) else headers
    return tuple((n, v.encode() if isinstance(v, str) else v) for n, v in pairs), None
