"""Functions to produce to and consume from a broker in one line of a test."""

import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

_DEADLINE_SECONDS = 90
_MESSAGE_BYTES = 64 * 1024 * 1024


def create_topic(bootstrap: str, topic: str, partitions: int = 1) -> None:
    """Create a topic; returns when the topic exists."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    futures = admin.create_topics([NewTopic(topic, partitions, 1)])
    futures[topic].result(_DEADLINE_SECONDS)


def produce(bootstrap: str, topic: str, values: Sequence[bytes]) -> None:
    """Send the values in order to partition 0; returns when every value is acknowledged."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "message.max.bytes": _MESSAGE_BYTES, "log_level": 0}
    )
    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failures.append(error)

    for value in values:
        producer.produce(topic, value, partition=0, on_delivery=delivered)
    unsent = producer.flush(_DEADLINE_SECONDS)
    assert not failures, failures
    assert not unsent, f"{unsent} messages not acknowledged in {_DEADLINE_SECONDS} s"


def consume(bootstrap: str, topic: str, *, group: str, count: int) -> list[bytes]:
    """Read the next `count` values for the group, and commit their offsets."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "receive.message.max.bytes": 2 * _MESSAGE_BYTES,
            "fetch.max.bytes": _MESSAGE_BYTES,
            "message.max.bytes": _MESSAGE_BYTES,
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    ends = time.monotonic() + _DEADLINE_SECONDS
    try:
        while len(values) < count and time.monotonic() < ends:
            message = consumer.poll(1)
            if message is None or message.error() is not None:
                continue
            values.append(message.value() or b"")
            consumer.commit(message=message, asynchronous=False)
    finally:
        consumer.close()
    return values


def committed(bootstrap: str, topic: str, *, group: str, partition: int = 0) -> int:
    """Return the committed offset of the group; negative if the group has none."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    ends = time.monotonic() + _DEADLINE_SECONDS
    try:
        while True:
            try:
                (position,) = consumer.committed(
                    [TopicPartition(topic, partition)], _DEADLINE_SECONDS
                )
            except KafkaException:
                # A broker that has just started cannot coordinate groups for a moment.
                if time.monotonic() > ends:
                    raise
            else:
                return int(position.offset)
    finally:
        consumer.close()
