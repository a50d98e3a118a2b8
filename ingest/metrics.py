"""Metrics of the Kafka consumer, read from its status."""

from collections.abc import Iterator
from typing import Final

from ingest.status import Status
from lake.metrics import Metric, Sample

MESSAGES: Final = Metric(
    "pixlake_kafka_messages",
    "counter",
    "messages",
    "Messages with a durable result; `dropped`: another consumer has the partition now; `expired`: "
    "older than the retention, so no image.",
    ("outcome",),
)
DEAD_LETTERS: Final = Metric(
    "pixlake_dead_letters",
    "counter",
    "messages",
    "Messages that were sent to the dead-letter topic, by the code of the refusal.",
    ("code",),
)
UNWRITTEN: Final = Metric(
    "pixlake_rejections_unwritten",
    "counter",
    "messages",
    "Dead letters and expired messages without a row of `rejections`: the store did not take it.",
)
RETRIES: Final = Metric(
    "pixlake_kafka_retries", "counter", "messages", "Messages that were submitted once more."
)
LAG: Final = Metric(
    "pixlake_kafka_lag",
    "gauge",
    "messages",
    "Messages after the committed offsets of this consumer: unread ones, and those under way.",
)
UNREAD: Final = Metric(
    "pixlake_kafka_unread",
    "gauge",
    "messages",
    "Messages that this consumer has not read: the backlog. One slow message delays the commits of "
    "later ones, so the lag may be higher.",
)
DELETED: Final = Metric(
    "pixlake_kafka_deleted_unread",
    "counter",
    "messages",
    "Messages that Kafka deleted before they were read; counted by offsets, so at most as many. "
    "They are lost: the producer has to send them again.",
)
PARTITIONS: Final = Metric(
    "pixlake_kafka_partitions", "gauge", "partitions", "Partitions of this consumer."
)
PAUSED: Final = Metric(
    "pixlake_kafka_paused", "gauge", "partitions", "Partitions that are paused: backpressure."
)
INFLIGHT: Final = Metric(
    "pixlake_kafka_inflight_messages", "gauge", "messages", "Messages read and not settled yet."
)
INFLIGHT_BYTES: Final = Metric(
    "pixlake_kafka_inflight_bytes", "gauge", "bytes", "Bytes of those messages."
)

METRICS: Final = (
    MESSAGES,
    DEAD_LETTERS,
    UNWRITTEN,
    RETRIES,
    LAG,
    UNREAD,
    DELETED,
    PARTITIONS,
    PAUSED,
    INFLIGHT,
    INFLIGHT_BYTES,
)
"""All metrics of this package."""


def samples(status: Status) -> Iterator[Sample]:
    """Read the samples of a consumer; its lag is unknown until it has joined the group."""
    for outcome, count in status.outcomes.items():
        yield MESSAGES.at(count, outcome)
    for code, count in status.dead_letters.items():
        yield DEAD_LETTERS.at(count, code)
    yield UNWRITTEN.at(status.unwritten)
    yield RETRIES.at(status.retries)
    if status.lag is not None:
        yield LAG.at(status.lag)
    if status.unread is not None:
        yield UNREAD.at(status.unread)
    yield DELETED.at(status.deleted)
    yield PARTITIONS.at(status.partitions)
    yield PAUSED.at(status.paused)
    yield INFLIGHT.at(status.inflight_messages)
    yield INFLIGHT_BYTES.at(status.inflight_bytes)
