"""Kafka client of the tests, for the parts of producer and operator; not the service's client."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

_DEADLINE_SECONDS = 90
_LARGE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sent:
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    key: bytes | None = None
    partition: int = 0
    milliseconds: int = 0
    """time of the message since 1970; 0: now"""


@dataclass(frozen=True, slots=True)
class Read:
    value: bytes | None
    key: bytes | None
    partition: int
    offset: int
    headers: dict[str, bytes | None] = field(default_factory=dict)


def create_topic(bootstrap: str, topic: str, partitions: int = 1, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    settings = {name.replace("_", "."): value for name, value in config.items()}
    admin.create_topics([NewTopic(topic, partitions, 1, config=settings)])[topic].result(
        _DEADLINE_SECONDS
    )


def delete_topic(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.delete_topics([topic])[topic].result(_DEADLINE_SECONDS)
    ends = time.monotonic() + _DEADLINE_SECONDS
    while topic in admin.list_topics(timeout=_DEADLINE_SECONDS).topics:
        assert time.monotonic() < ends, f"{topic} does not go away"


def send(bootstrap: str, topic: str, messages: Iterable[Sent]) -> None:
    """Produce the messages; return when every message is acknowledged."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "message.max.bytes": _LARGE, "log_level": 0}
    )
    faults: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            faults.append(error)

    for message in messages:
        producer.produce(
            topic,
            message.value,
            message.key,
            message.partition,
            headers=list(message.headers),
            timestamp=message.milliseconds,
            on_delivery=delivered,
        )
        producer.poll(0)
    assert producer.flush(_DEADLINE_SECONDS) == 0
    assert not faults


def read(
    bootstrap: str, topic: str, count: int, *, partition: int = 0, more: float = 0
) -> list[Read]:
    """The first `count` messages, and one more if it comes within `more` seconds."""
    consumer = _reader(bootstrap)
    consumer.assign([TopicPartition(topic, partition, 0)])
    found: list[Read] = []
    ends = time.monotonic() + _DEADLINE_SECONDS
    try:
        while len(found) < count and time.monotonic() < ends:
            if (raw := consumer.poll(1)) is not None and raw.error() is None:
                found.append(_read(raw))
        if more and (raw := consumer.poll(more)) is not None and raw.error() is None:
            found.append(_read(raw))
    finally:
        consumer.close()
    return found


def _reader(bootstrap: str, group: str = "reader") -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "fetch.max.bytes": _LARGE,
            "message.max.bytes": _LARGE,
            "receive.message.max.bytes": 2 * _LARGE,
            "log_level": 0,
        }
    )


def _read(raw: Message) -> Read:
    found = raw.headers() or {}
    pairs = found if isinstance(found, dict) else dict(found)
    return Read(
        value=raw.value(),
        key=raw.key(),
        partition=raw.partition() or 0,
        offset=raw.offset() or 0,
        headers={n: v.encode() if isinstance(v, str) else v for n, v in pairs.items()},
    )
