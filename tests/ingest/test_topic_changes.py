"""Topics that change under a running consumer: more partitions, made again during a rebalance."""

import asyncio
import threading
from collections import defaultdict

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from tests.ingest import wire
from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, running
from tests.waiting import until

_SECONDS = 40
PARTITIONS = 4


def add_partitions(stage: Stage, count: int) -> None:
    admin = AdminClient({"bootstrap.servers": stage.bootstrap, "log_level": 0})
    for future in admin.create_partitions([NewPartitions(stage.topic, count)]).values():
        future.result(_SECONDS)


async def test_a_new_partition_is_read_within_seconds(stage: Stage) -> None:
    """The client would notice it after 5 minutes by default."""
    workers = Workers()
    async with running(stage.settings(), workers.submit) as consumer:
        await until(lambda: consumer.status().partitions == 1)
        await asyncio.to_thread(add_partitions, stage, 2)
        await stage.send_values([b"wide"] * 20, partition=1)
        await stage.until_committed(20, partition=1)
        await until(lambda: consumer.status().lag == 0, "no lag")
    assert workers.done_values == [b"wide"] * 20


class Guest:
    """Member that takes its share of the partitions, reads nothing, commits nothing and leaves."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._leaves = threading.Event()
        self.came = threading.Event()

    def stay(self) -> None:
        """Be a member until `leave`."""
        client = Consumer(
            {
                "bootstrap.servers": self._stage.bootstrap,
                "group.id": f"group-{self._stage.topic}",
                "partition.assignment.strategy": "cooperative-sticky",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "session.timeout.ms": 6000,
                "log_level": 0,
            }
        )

        def assigned(_: Consumer, partitions: list[TopicPartition]) -> None:
            client.incremental_assign(partitions)
            client.pause(partitions)
            self.came.set()

        client.subscribe([self._stage.topic], on_assign=assigned)
        while not self._leaves.is_set():
            client.poll(0.1)
        client.close()

    def leave(self) -> None:
        self._leaves.set()


async def test_a_topic_made_again_during_a_rebalance_is_read_whole(wide_stage: Stage) -> None:
    """Each new message is one image, none never and none twice, while a member comes and goes."""
    stage, workers, guest = wide_stage, Workers(), Guest(wide_stage)
    async with running(stage.settings(), workers.submit) as consumer:
        for partition in range(PARTITIONS):
            await stage.send_values([b"old"] * 50, partition)
        for partition in range(PARTITIONS):
            await stage.until_committed(50, partition)
        await stage.send_values([b"old"] * 100)
        await asyncio.to_thread(wire.delete_topic, stage.bootstrap, stage.topic)
        await asyncio.to_thread(wire.create_topic, stage.bootstrap, stage.topic, PARTITIONS)
        stay = asyncio.create_task(asyncio.to_thread(guest.stay))
        values = {p: [b"new %d.%d" % (p, n) for n in range(200)] for p in range(PARTITIONS)}
        for partition, new in values.items():
            await stage.send_values(new, partition)
        await asyncio.to_thread(guest.came.wait, _SECONDS)
        guest.leave()
        await stay
        for partition in range(PARTITIONS):
            await stage.until_committed(200, partition)
        await until(lambda: consumer.status().lag == 0, "no lag")
    ids = defaultdict(set)
    for job in workers.done:
        ids[job.data.tobytes()].add(job.image_id)
    wanted = {value for new in values.values() for value in new}
    assert ids.keys() - {b"old"} == wanted
    assert {len(ids[value]) for value in wanted} == {1}
