"""Questions about topics that a member of the group cannot answer from its cache: ids and ends."""

import contextlib
from collections.abc import Collection, Mapping

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from ingest.librdkafka import SILENT, client_config
from ingest.offsets import Partition
from ingest.settings import IngestSettings

_ADMIN_SECONDS = 5.0
# Errors of a broker without topic ids; after any other error the request is repeated.
_NO_IDS = {KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE}  # noqa: SLF001
_ZERO_ID = "AAAAAAAAAAAAAAAAAAAAAA"


class TopicAdmin:
    """Client that asks the cluster; it shares no connection and no cache with the member."""

    def __init__(self, settings: IngestSettings) -> None:
        self._admin = AdminClient(client_config(settings) | SILENT)

    def topic_id(self, topic: str, seconds: float = _ADMIN_SECONDS) -> str:
        """Ask for the topic's current UUID; raises KafkaException.

        For a broker without ids, the topic's name replaces the id.
        """
        answers = self._admin.describe_topics(TopicCollection([topic]), request_timeout=seconds)
        try:
            # The request's own time-out is shorter and raises a KafkaException.
            topic_id = str(answers[topic].result(2 * seconds).topic_id)
        except KafkaException as error:
            if error.args[0].code() in _NO_IDS:
                return topic
            raise
        return topic if topic_id == _ZERO_ID else topic_id

    def end_offsets(
        self, partitions: Collection[Partition], seconds: float
    ) -> Mapping[Partition, int]:
        """Ask for the offsets behind the last message that is not of an open transaction.

        Leaves out partitions for which nobody answers, for example those without a leader.
        """
        if not partitions:
            return {}
        asked = self._admin.list_offsets(
            {
                Position(p.topic, p.number): OffsetSpec.latest()  # type: ignore[no-untyped-call]
                for p in partitions
            },
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=seconds,
        )
        ends: dict[Partition, int] = {}
        for position, future in asked.items():
            with contextlib.suppress(KafkaException):
                at = Partition(position.topic, position.partition)
                ends[at] = future.result(2 * seconds).offset
        return ends
