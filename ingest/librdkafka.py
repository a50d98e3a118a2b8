"""Configuration of librdkafka, with the reason for each value, and parser of its statistics."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ingest import msk_iam
from ingest.offsets import Partition
from ingest.settings import IngestSettings

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """Offset of the first message of an open transaction, and end of the log behind it."""

    stable: int
    end: int


@dataclass(frozen=True, slots=True)
class GroupState:
    """Last reported state of the group membership; `lag` in messages, None if unknown.

    `unread` is the part of the lag that was not read. The rest is under way, or waits until an
    earlier message is committed. Neither counts messages behind an open transaction, which nobody
    may read yet; `held` has the partitions with such messages.
    """

    member: bool = False
    lag: int | None = None
    error: str | None = None
    unread: int | None = None
    held: Mapping[Partition, Held] = field(default_factory=dict)

    def with_unread(self, unread: int) -> "GroupState":
        """State with at least `unread` unread messages; an unknown lag stays unknown."""
        if self.lag is None or self.unread is None or unread <= self.unread:
            return self
        return replace(self, unread=unread, lag=self.lag + unread - self.unread)


def group_state(statistics: str, error: str | None) -> GroupState:
    """Parse membership and lag from librdkafka's statistics; `error` is kept unless a member."""
    parsed = json.loads(statistics)
    group = parsed.get("cgrp", {})
    steady = group.get("join_state") == "steady" or bool(group.get("assignment_size"))
    member = group.get("state") == "up" and steady
    ours = dict(_partitions(parsed))
    # A negative lag is unknown.
    known = [one for one in ours.values() if one["consumer_lag"] >= 0]
    lag = sum(one["consumer_lag"] for one in known) if known else None
    unread = sum(_unread(one) for one in known) if known else None
    held = {
        partition: Held(one["ls_offset"], one["hi_offset"])
        for partition, one in ours.items()
        if 0 <= one.get("ls_offset", -1) < one.get("hi_offset", -1)
    }
    return GroupState(member, lag, None if member else error, unread, held)


def _partitions(statistics: Mapping[str, Any]) -> Iterator[tuple[Partition, dict[str, Any]]]:
    """Partitions of this member."""
    for name, topic in statistics.get("topics", {}).items():
        for number, partition in topic.get("partitions", {}).items():
            if number != "-1" and partition.get("desired"):
                yield Partition(name, int(number)), partition


def _unread(partition: Mapping[str, Any]) -> int:
    """Messages that the application has not read; offsets are negative while they are unknown."""
    read, committed = partition.get("app_offset", -1), partition.get("committed_offset", -1)
    under_way = max(0, read - committed) if committed >= 0 else 0
    return max(0, int(partition["consumer_lag"]) - under_way)


# The library's log repeats errors that results and `error_cb` report anyway.
SILENT: Config = {"log_level": 0}
# Below librdkafka's default of 5 minutes, because a dead letter is sent again after this time.
DELIVERY_MS = 15_000
# Room for key, headers and Kafka's own framing beside the largest image.
FRAMING_BYTES = 1_000_000


def client_config(settings: IngestSettings) -> Config:
    """Properties of every client."""
    key_password, password = settings.kafka_ssl_key_password, settings.kafka_sasl_password
    given: Config = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": "pixlake",
        "security.protocol": settings.kafka_security_protocol,
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": password.get_secret_value() if password else None,
        "ssl.ca.location": settings.kafka_ssl_ca_location,
        "ssl.certificate.location": settings.kafka_ssl_certificate_location,
        "ssl.key.location": settings.kafka_ssl_key_location,
        "ssl.key.password": key_password.get_secret_value() if key_password else None,
        # Lets the kernel detect a broker that vanished.
        "socket.keepalive.enable": True,
        # The default, 10 s, would wait too long for a broker that is back.
        "reconnect.backoff.max.ms": 2000,
    }
    if settings.kafka_sasl_mechanism == "AWS_MSK_IAM":
        region = settings.kafka_iam_region or ""
        given["sasl.mechanism"] = "OAUTHBEARER"
        given["oauth_cb"] = lambda _: msk_iam.token(region)
    return {name: value for name, value in given.items() if value is not None}


def consumer_config(settings: IngestSettings) -> Config:
    """Properties of a group member; offsets are committed only explicitly."""
    protocol: Config = {"group.protocol": "consumer"}
    if settings.kafka_group_protocol == "classic":
        protocol = {
            # Incremental: a member that joins or leaves does not stop the partitions of others.
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": settings.kafka_session_timeout_ms,
            "heartbeat.interval.ms": min(3000, settings.kafka_session_timeout_ms // 3),
        }
    if settings.kafka_rack is not None:
        protocol["client.rack"] = settings.kafka_rack
    return {
        **client_config(settings),
        **protocol,
        "group.id": settings.kafka_group,
        # An offset is committed only when its image is durable.
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # A new group, or one whose offsets expired, starts at the beginning; replays are harmless.
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        # The end of a log is an event in the order of its messages. It says how far a transaction
        # without messages for this group goes, so that the commit and the lag include it.
        "enable.partition.eof": True,
        # Time until new partitions and new leaders are noticed; the default is 5 minutes.
        "topic.metadata.refresh.interval.ms": 10_000,
        "check.crcs": True,
        # The Kafka thread polls all the time, so after this time without a poll it hangs.
        "max.poll.interval.ms": 300_000,
        # Limit prefetching by bytes: 100,000 messages (the default) are gigabytes here.
        "queued.min.messages": 100,
        "queued.max.messages.kbytes": 32 * 1024,
        "fetch.queue.backoff.ms": 50,
        # Limits of a fetch response per partition and in all. A response is one block of memory,
        # and blocks above 32 MiB are not reused by the allocator. A larger message comes alone.
        "fetch.message.max.bytes": 8 * 1024 * 1024,
        "fetch.max.bytes": 8 * 1024 * 1024,
        # Only a sanity check on responses. A message above it would block its partition for ever,
        # so it is far above the limit of any topic.
        "receive.message.max.bytes": 1_000_000_000,
        # Readiness uses membership and lag.
        "statistics.interval.ms": 1000,
        # Few wake-ups for an idle stream, no delay for a busy one.
        "fetch.wait.max.ms": 500,
    }


def producer_config(settings: IngestSettings) -> Config:
    """Properties of a producer that writes each message once, to all in-sync replicas."""
    return {
        **client_config(settings),
        "enable.idempotence": True,
        "acks": "all",
        "delivery.timeout.ms": DELIVERY_MS,
        "message.max.bytes": settings.kafka_max_message_bytes + FRAMING_BYTES,
        # Images are compressed already.
        "compression.type": "none",
        # Dead letters are few, and a task waits for each.
        "linger.ms": 0,
    }
