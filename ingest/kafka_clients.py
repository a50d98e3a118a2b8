"""Kafka clients of one consumer, and the thread on which the blocking client is called."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from ingest.cluster import ensure_topics
from ingest.dead_letters import Sender
from ingest.producer import KafkaProducer
from ingest.settings import IngestSettings
from ingest.stream import Stream

T = TypeVar("T")


class Producer(Sender, Protocol):
    """Producer of dead letters; `KafkaProducer` implements it."""

    async def close(self) -> None:
        """Discard unsent messages."""


class KafkaClients:
    """Opens the clients of one consumer, and calls the blocking client on a thread of its own."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        # The Kafka client blocks, so this thread makes all calls to it, never the event loop.
        self._thread = ThreadPoolExecutor(1, "kafka")

    async def ensure_topics(self) -> None:
        """Check that both topics exist; raises KafkaUnavailable, StreamStopped."""
        await self.call(ensure_topics, self._settings)

    def producer(self) -> Producer:
        """Open the producer of dead letters."""
        return KafkaProducer(self._settings)

    async def connect(self) -> Stream:
        """Join the group."""
        return await self.call(Stream, self._settings)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function on the Kafka thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)

    def close(self) -> None:
        """Release the thread; a call that still hangs is left to itself."""
        self._thread.shutdown(wait=False)
