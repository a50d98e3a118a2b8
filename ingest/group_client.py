"""Interface of a consumer-group member, which the stream uses on the Kafka thread."""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from ingest.librdkafka import GroupState
from ingest.messages import Message
from ingest.offsets import Listener, Partition
from ingest.positions import Place
from ingest.settings import IngestSettings


class Client(Protocol):
    """Member of the consumer group; `GroupConsumer` implements it."""

    @property
    def state(self) -> GroupState:
        """State of the group membership, as last reported."""

    @property
    def was_away(self) -> bool:
        """True if all brokers were unavailable at some time since the client joined."""

    def poll(self, timeout: float) -> Message | None:
        """Read the next message, or None after `timeout` seconds; raises StreamStopped."""

    def topic_id(self, topic: str) -> str | None:
        """Ask for the topic's current id; None if the cluster does not answer."""

    def first_offset(self, partition: Partition) -> int | None:
        """Offset at which the log began in the last answer of the cluster; None if unknown."""

    def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Ask for the ends of these logs; leaves out those for which nobody answers."""

    def pause(self, wanted: frozenset[Partition]) -> None:
        """Pause these partitions and resume all others."""

    def commit(self, places: Mapping[Partition, Place]) -> None:
        """Send a commit; a failure is reported to `Listener.commit_refused`."""

    def commit_now(self, places: Mapping[Partition, Place]) -> None:
        """Commit, and return once the broker has accepted or refused it."""

    def renew(self) -> None:
        """Leave the group and join again with a new client."""

    def interrupt(self) -> None:
        """End a call that waits for the cluster; may be called from any thread."""

    def close(self) -> None:
        """Leave the group."""


Connect = Callable[[IngestSettings, Listener], Client]
