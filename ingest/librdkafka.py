"""librdkafka, the library in the Kafka client: its properties with reasons, its statistics."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingest import msk_iam
from ingest.settings import IngestSettings

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GroupState:
    """What the client last said about the cluster; `lag` in messages, None if unknown."""

    member: bool = False
    lag: int | None = None
    error: str | None = None


def group_state(statistics: str, error: str | None) -> GroupState:
    """Membership and lag, out of librdkafka's JSON; `error` unless all is well."""
    found = json.loads(statistics)
    group = found.get("cgrp", {})
    steady = group.get("join_state") == "steady" or bool(group.get("assignment_size"))
    member = group.get("state") == "up" and steady
    return GroupState(member, _lag(found), None if member else error)


def _lag(statistics: Mapping[str, Any]) -> int | None:
    """Messages between what was committed and the end, over our partitions."""
    lags = [
        partition["consumer_lag"]
        for topic in statistics.get("topics", {}).values()
        for number, partition in topic.get("partitions", {}).items()
        if number != "-1" and partition.get("desired") and partition["consumer_lag"] >= 0
    ]
    return sum(lags) if lags else None


# Well below the broker's 5 minutes: a dead letter that could not be sent is simply sent again.
DELIVERY_MS = 15_000
# Room for key, headers and Kafka's own framing beside the largest image.
FRAMING_BYTES = 1_000_000


def client_config(settings: IngestSettings) -> Config:
    """What every client of the cluster needs."""
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
        # A broker that vanished without a word is noticed by the kernel.
        "socket.keepalive.enable": True,
        # The default, 10 s, is a long time to go on waiting for a broker that is back.
        "reconnect.backoff.max.ms": 2000,
    }
    if settings.kafka_sasl_mechanism == "AWS_MSK_IAM":
        region = settings.kafka_iam_region or ""
        given["sasl.mechanism"] = "OAUTHBEARER"
        given["oauth_cb"] = lambda _: msk_iam.token(region)
    return {name: value for name, value in given.items() if value is not None}


def consumer_config(settings: IngestSettings) -> Config:
    """A member of the group that commits by itself only."""
    protocol: Config = {"group.protocol": "consumer"}
    if settings.kafka_group_protocol == "classic":
        protocol = {
            # Incremental: a member that joins or leaves stops nobody else's partitions.
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": settings.kafka_session_timeout_ms,
            "heartbeat.interval.ms": min(3000, settings.kafka_session_timeout_ms // 3),
        }
    return {
        **client_config(settings),
        **protocol,
        "group.id": settings.kafka_group,
        # An offset moves only when its image is durable.
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # A group that is new, or whose offsets expired, misses nothing; replays are harmless.
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        # New partitions, and leaders that went elsewhere, are seen this soon; the default is 5 min.
        "topic.metadata.refresh.interval.ms": 10_000,
        "check.crcs": True,
        # The Kafka thread always polls; this many seconds without mean that it hangs.
        "max.poll.interval.ms": 300_000,
        # Read ahead by bytes, not by counts: 100,000 messages (the default) are gigabytes here.
        "queued.min.messages": 100,
        "queued.max.messages.kbytes": 32 * 1024,
        "fetch.queue.backoff.ms": 50,
        # Of a partition, and of all: an answer is one piece of memory, and from 32 MiB on the
        # allocator can't use it again. A larger message comes alone.
        "fetch.message.max.bytes": 8 * 1024 * 1024,
        "fetch.max.bytes": 8 * 1024 * 1024,
        # Only a sanity check on answers, no memory: a message above it would stop its partition
        # for good, so it is far above what any topic takes.
        "receive.message.max.bytes": 1_000_000_000,
        # Membership, lag: readiness looks at them.
        "statistics.interval.ms": 1000,
        # An idle stream should not pile up wake-ups, nor a busy one delay them.
        "fetch.wait.max.ms": 500,
    }


def producer_config(settings: IngestSettings) -> Config:
    """A producer whose messages are on every replica, once, when it says so."""
    return {
        **client_config(settings),
        "enable.idempotence": True,
        "acks": "all",
        "delivery.timeout.ms": DELIVERY_MS,
        "message.max.bytes": settings.kafka_max_message_bytes + FRAMING_BYTES,
        # Images are compressed already.
        "compression.type": "none",
        # Dead letters are few and somebody waits for each.
        "linger.ms": 0,
    }
