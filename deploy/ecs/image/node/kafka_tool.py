"""Commands of operators on Kafka, for the runbook: `python -m node kafka group|topics|retention`.

They log in as the consumer does, also by IAM. Each prints one JSON document.
"""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, TopicCollection
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)
from ingest.librdkafka import SILENT, client_config
from ingest.settings import IngestSettings

_SECONDS = 10.0
_HOUR_MS = 3_600_000
_RETENTION = "retention.ms"
_DEFAULT_DAYS = "7"

Json = dict[str, Any]


class KafkaTool:
    """Questions and changes that the runbook names, on the topics of the settings."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._admin = AdminClient(client_config(settings) | SILENT)

    def group(self) -> Json:
        """Members of the consumer group, and the lag of each partition of the topic."""
        name = self._settings.kafka_group
        asked = self._admin.describe_consumer_groups([name], request_timeout=_SECONDS)
        found = asked[name].result(2 * _SECONDS)
        return {
            "group": name,
            "state": found.state.name.lower(),
            "members": [
                {
                    "host": member.host,
                    "partitions": sorted(at.partition for at in member.assignment.topic_partitions),
                }
                for member in found.members
            ],
            "partitions": list(self._lags()),
        }

    def _lags(self) -> Iterator[Json]:
        group = ConsumerGroupTopicPartitions(self._settings.kafka_group)
        asked = self._admin.list_consumer_group_offsets([group], request_timeout=_SECONDS)
        committed = {
            one.partition: one.offset
            for one in asked[self._settings.kafka_group].result(2 * _SECONDS).topic_partitions
            if one.topic == self._settings.kafka_topic and one.error is None
        }
        numbers = [part["partition"] for part in self._topic(self._settings.kafka_topic)]
        for number, end in self._ends(numbers).items():
            offset = committed.get(number, -1)
            # Without a commit the consumer begins at the first message that Kafka still has.
            lag = end - offset if offset >= 0 else None
            yield {"partition": number, "committed": offset, "end": end, "lag": lag}

    def _ends(self, numbers: Sequence[int]) -> dict[int, int]:
        positions = {
            Position(self._settings.kafka_topic, number): OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for number in numbers
        }
        asked = self._admin.list_offsets(positions, request_timeout=_SECONDS)
        ends = {at.partition: future.result(2 * _SECONDS).offset for at, future in asked.items()}
        return dict(sorted(ends.items()))

    def topics(self) -> Json:
        """Partitions of both topics with leaders and copies in sync, and their retention."""
        return {
            name: {"retention_ms": self._retention(name), "partitions": self._topic(name)}
            for name in (self._settings.kafka_topic, self._settings.dead_letters)
        }

    def _topic(self, name: str) -> list[Json]:
        asked = self._admin.describe_topics(TopicCollection([name]), request_timeout=_SECONDS)
        return [
            {
                "partition": part.id,
                "leader": part.leader.id if part.leader else None,
                "copies": sorted(one.id for one in part.replicas),
                "in_sync": sorted(one.id for one in part.isr),
            }
            for part in asked[name].result(2 * _SECONDS).partitions
        ]

    def _retention(self, name: str) -> int:
        resource = ConfigResource(ResourceType.TOPIC, name)
        asked = self._admin.describe_configs([resource], request_timeout=_SECONDS)
        return int(asked[resource].result(2 * _SECONDS)[_RETENTION].value)

    def retain(self, hours: int) -> Json:
        """Change how long Kafka keeps messages of images."""
        name = self._settings.kafka_topic
        before = self._retention(name)
        change = ConfigEntry(
            _RETENTION, str(hours * _HOUR_MS), incremental_operation=AlterConfigOpType.SET
        )
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[change])
        asked = self._admin.incremental_alter_configs([resource], request_timeout=_SECONDS)
        asked[resource].result(2 * _SECONDS)
        return {"topic": name, "retention_ms": self._retention(name), "before": before}


def _hours(text: str) -> int:
    """Parse hours; a replay of older messages would restore images that have expired."""
    most = 24 * int(os.environ.get("PIXLAKE_RETENTION_DAYS", _DEFAULT_DAYS))
    hours = int(text)
    if not 1 <= hours <= most:
        raise argparse.ArgumentTypeError(f"{hours} hours; 1 to {most}, the retention of images")
    return hours


def main(words: Sequence[str]) -> int:
    """Run a command and print its answer; raises KafkaException."""
    parser = argparse.ArgumentParser("kafka", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("group", help="members and lag of the consumer group")
    commands.add_parser("topics", help="leaders, copies and retention of both topics")
    retention = commands.add_parser("retention", help="change the retention of images")
    retention.add_argument("hours", type=_hours)
    given = parser.parse_args(words)
    tool = KafkaTool(IngestSettings())
    if given.command == "retention":
        answer = tool.retain(given.hours)
    else:
        answer = tool.group() if given.command == "group" else tool.topics()
    print(json.dumps(answer, indent=2))
    return 0
