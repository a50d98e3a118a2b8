"""Fixtures that give each test its own topic and group on the session's Apache Kafka."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import uuid4

import pytest

from ingest.settings import IngestSettings
from tests.ingest import wire
from tests.ingest.doubles import until_committed
from tests.ingest.wire import Read, Sent
from tests.servers.kafka import ApacheKafka
from tests.servers.streams import committed


@dataclass(frozen=True, slots=True)
class Stage:
    """One test's topic, with the actions of its producer and its operator."""

    bootstrap: str
    topic: str

    def settings(self, **changes: object) -> IngestSettings:
        values: dict[str, object] = {
            "kafka_bootstrap_servers": self.bootstrap,
            "kafka_topic": self.topic,
            "kafka_group": f"group-{self.topic}",
            "kafka_session_timeout_ms": 1500,
            "kafka_commit_interval_seconds": 0.1,
            "kafka_drain_seconds": 5,
            "kafka_alone_seconds": 0,
            "kafka_topic_partitions": 1,
        }
        return IngestSettings.model_validate(values | changes)

    async def send(self, *messages: Sent) -> None:
        await asyncio.to_thread(wire.send, self.bootstrap, self.topic, messages)

    async def send_values(self, values: Sequence[bytes], partition: int = 0) -> None:
        await self.send(*(Sent(value, partition=partition) for value in values))

    async def dead_letters(self, count: int, more: float = 0) -> list[Read]:
        name = f"{self.topic}.dead-letters"
        return await asyncio.to_thread(wire.read, self.bootstrap, name, count, more=more)

    def committed(self, partition: int = 0) -> int:
        return committed(
            self.bootstrap, self.topic, group=f"group-{self.topic}", partition=partition
        )

    async def until_committed(self, offset: int, partition: int = 0) -> None:
        await until_committed(lambda: self.committed(partition), offset)


@pytest.fixture
def stage(kafka_server: ApacheKafka) -> Stage:
    """A topic of one partition."""
    stage = Stage(kafka_server.bootstrap, f"images-{uuid4()}")
    wire.create_topic(stage.bootstrap, stage.topic, max_message_bytes="30000000")
    return stage


@pytest.fixture
def wide_stage(kafka_server: ApacheKafka) -> Stage:
    """A topic of four partitions."""
    stage = Stage(kafka_server.bootstrap, f"images-{uuid4()}")
    wire.create_topic(stage.bootstrap, stage.topic, 4)
    return stage


@dataclass(frozen=True, slots=True)
class Broker:
    """The session's broker; kills and starts it without blocking the event loop."""

    server: ApacheKafka
    # The kernel ends the broker together with the thread that started it, so this thread has to
    # outlive the test.
    thread: ThreadPoolExecutor

    async def kill(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self.thread, self.server.kill)

    async def keep(self) -> None:
        """Stop the broker, copy its data and start it again."""
        await asyncio.get_running_loop().run_in_executor(self.thread, self.server.keep)

    async def lose(self) -> None:
        """Kill the broker and start it on the data that `keep` copied."""
        await asyncio.get_running_loop().run_in_executor(self.thread, self.server.lose)

    async def start(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self.thread, self.server.start)


@pytest.fixture(scope="session")
def broker_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
def broker(kafka_server: ApacheKafka, broker_thread: ThreadPoolExecutor) -> Iterator[Broker]:
    """The broker, for tests that kill it; it is started again after the test."""
    if kafka_server.external:
        pytest.skip("not our broker to kill")
    yield Broker(kafka_server, broker_thread)
    broker_thread.submit(kafka_server.start).result()
