"""Consumer group changes, a broker that dies, and a topic that is deleted and created again."""

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from ingest.consumer import Consumer
from ingest.errors import KafkaUnavailable
from ingest.stream import Stream
from pixlake_server.embedded.ports import free_port
from tests.ingest import wire
from tests.ingest.conftest import Broker, Stage
from tests.ingest.doubles import Workers, refused, running
from tests.ingest.wire import Sent
from tests.servers.kafka import ApacheKafka
from tests.waiting import until


async def test_killed_before_the_commit_means_delivered_again(stage: Stage) -> None:
    values = [b"a", b"b", b"c"]
    await stage.send_values(values)
    victim = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.ingest.victim",
        stage.settings(kafka_commit_interval_seconds=60).model_dump_json(),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert victim.stdout is not None
    ids = [(await victim.stdout.readline()).decode().strip() for _ in values]
    victim.kill()
    await victim.wait()
    assert await asyncio.to_thread(stage.committed) < 0
    workers = Workers()
    async with running(stage.settings(), workers.submit):
        await stage.until_committed(3)
    assert [job.image_id for job in workers.done] == ids


async def test_a_cancelled_consumer_commits_no_more_than_is_durable(stage: Stage) -> None:
    workers = Workers()
    workers.gate.clear()
    await stage.send_values([b"a", b"b"])
    task = asyncio.create_task(Consumer(stage.settings(), workers.submit, workers.note).run())
    await until(lambda: len(workers.jobs) == 2)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert await asyncio.to_thread(stage.committed) < 0
    again = Workers()
    async with running(stage.settings(), again.submit):
        await stage.until_committed(2)
    assert again.done_values == [b"a", b"b"]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
async def test_members_share_and_take_over(wide_stage: Stage, protocol: str) -> None:
    first, second = Workers(), Workers()
    settings = wide_stage.settings(kafka_group_protocol=protocol)

    async def send(names: str) -> None:
        for partition in range(4):
            values = [f"{name}{partition}{n}".encode() for name in names for n in range(10)]
            await wide_stage.send_values(values, partition)

    async def until_committed(offset: int) -> None:
        for partition in range(4):
            await wide_stage.until_committed(offset, partition)

    await send("a")
    async with running(settings, first.submit) as one:
        await until(lambda: one.status().partitions == 4)
        await send("b")
        async with running(settings, second.submit) as two:
            await send("c")
            await until(lambda: (one.status().partitions, two.status().partitions) == (2, 2))
            await one.ready()
            await two.ready()
            await send("d")
            await until_committed(40)
        await until(lambda: one.status().partitions == 4)
        await send("e")
        await until_committed(50)
    assert second.done_values
    # The members handed over in order: no message is lost, and none is processed twice.
    done = Counter(first.done_values + second.done_values)
    assert (len(done), set(done.values())) == (200, {1})


async def test_more_members_than_partitions_are_ready_all_the_same(stage: Stage) -> None:
    workers = Workers()
    async with (
        running(stage.settings(), workers.submit) as one,
        running(stage.settings(), workers.submit) as two,
    ):
        await until(lambda: one.status().ready and two.status().ready)
        assert one.status().partitions + two.status().partitions == 1


async def test_a_revoked_message_is_somebody_elses(wide_stage: Stage) -> None:
    """The first member hangs on every message; the second processes the revoked partitions."""
    stuck, second = Workers(), Workers()
    stuck.gate.clear()
    for partition in range(4):
        await wide_stage.send_values([b"m%d" % partition], partition)
    settings = wide_stage.settings(kafka_revoke_wait_seconds=0.2, kafka_drain_seconds=0.2)
    async with running(settings, stuck.submit) as one:
        await until(lambda: len(stuck.jobs) == 4)
        async with running(settings, second.submit):
            # On a busy machine the first member may miss its session time-out; then the second one
            # processes more than two messages.
            await until(lambda: len(second.done) >= 2)
            stuck.gate.set()
            await until(lambda: one.status().inflight_messages == 0)
            for partition in range(4):
                await wide_stage.until_committed(1, partition)


class AssignsAtTheClose:
    """Client of a group whose coordinator is silent: an assignment arrives while it closes."""

    def __init__(self, _config: object) -> None:
        self.closed = False

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        self._topic, self._assigned = topics[0], callbacks["on_assign"]

    def committed(self, *_: object) -> None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def close(self) -> None:
        self.closed = True
        self._assigned(self, [TopicPartition(self._topic, 0)])


async def test_a_close_during_an_assignment_is_in_order(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.send_values([b"creates the topic"])
    client = AssignsAtTheClose({})
    monkeypatch.setattr("ingest.kafka.Consumer", lambda _config: client)
    stream = Stream(stage.settings())
    stream.interrupt()
    await asyncio.to_thread(stream.close)
    assert client.closed


async def test_broker_killed_and_back(stage: Stage, broker: Broker) -> None:
    workers = Workers()
    async with running(stage.settings(), workers.submit) as consumer:
        await stage.send_values([b"before"])
        await stage.until_committed(1)
        await consumer.ready()
        await broker.kill()
        await until(lambda: not consumer.status().ready, "not ready without a broker")
        with pytest.raises(KafkaUnavailable):
            await consumer.ready()
        await broker.start()
        await until(lambda: consumer.status().ready, "ready again")
        await stage.send_values([b"after"])
        await stage.until_committed(2)
    assert workers.done_values[-1] == b"after"


async def test_dead_letters_wait_for_the_broker(stage: Stage, broker: Broker) -> None:
    workers = Workers(lambda _: refused())
    workers.gate.clear()
    async with running(stage.settings(), workers.submit) as consumer:
        await stage.send(Sent(b"bad"))
        await until(lambda: len(workers.jobs) == 1)
        await broker.kill()
        workers.gate.set()
        await until(lambda: not consumer.status().ready)
        assert consumer.status().inflight_messages == 1
        await broker.start()
        await stage.until_committed(1)
    assert {letter.value for letter in await stage.dead_letters(1)} == {b"bad"}


async def test_stop_while_the_broker_is_away(stage: Stage, broker: Broker) -> None:
    workers = Workers()
    async with running(stage.settings(), workers.submit) as consumer:
        await until(lambda: consumer.status().ready)
        await broker.kill()


async def test_it_waits_for_a_broker_that_is_not_there_yet() -> None:
    stage = Stage(f"127.0.0.1:{free_port()}", "images")
    async with running(stage.settings(), Workers().submit) as consumer:
        await asyncio.sleep(0)
        status = consumer.status()
        assert (status.alive, status.ready) == (True, False)


async def test_topics_are_created_unless_forbidden(kafka_server: ApacheKafka) -> None:
    stage = Stage(kafka_server.bootstrap, f"new-{free_port()}")
    workers = Workers()
    async with running(stage.settings(kafka_create_topics=False), workers.submit) as consumer:
        await until(lambda: "no such topic" in (consumer.status().error or ""))
    async with running(stage.settings(), workers.submit) as consumer:
        await until(lambda: consumer.status().ready)
        await stage.send_values([b"first"])
        await stage.until_committed(1)


async def test_a_topic_made_again_holds_other_images(stage: Stage) -> None:
    workers = Workers()
    async with running(stage.settings(), workers.submit) as consumer:
        await stage.send_values([b"same", b"same"])
        await stage.until_committed(2)
        await asyncio.to_thread(wire.delete_topic, stage.bootstrap, stage.topic)
        await asyncio.to_thread(wire.create_topic, stage.bootstrap, stage.topic)
        await stage.send_values([b"same", b"same"])
        await until(lambda: len(workers.done) == 4)
        await until(lambda: consumer.status().ready)
    assert len({job.image_id for job in workers.done}) == 4
