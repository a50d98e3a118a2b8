"""Offsets that a real broker assigns a second time: no message is mistaken for another one."""

import asyncio

from confluent_kafka import Consumer, TopicPartition

from ingest.positions import Place, begin
from tests.ingest import wire
from tests.ingest.conftest import Broker, Stage
from tests.ingest.doubles import Workers, running
from tests.waiting import until


def commit(stage: Stage, offset: int, metadata: str) -> None:
    """Commit an offset of the group by the topic's name, as a member does."""
    client = Consumer({"bootstrap.servers": stage.bootstrap, "group.id": f"group-{stage.topic}"})
    client.commit(offsets=[TopicPartition(stage.topic, 0, offset, metadata)], asynchronous=False)
    client.close()


async def made_again(stage: Stage, partitions: int = 1) -> None:
    await asyncio.to_thread(wire.delete_topic, stage.bootstrap, stage.topic)
    await asyncio.to_thread(wire.create_topic, stage.bootstrap, stage.topic, partitions)


def test_a_commit_counts_for_its_topic_only() -> None:
    said = Place(7, "topic-1", 3)
    assert begin(Place.committed(7, said.metadata, 3), "images", "topic-1") == said
    assert begin(Place.committed(7, said.metadata, 3), "images", "topic-2") is None
    assert begin(Place.committed(7, said.metadata, 3), "images", "images") == said
    # Commits by earlier versions or by an operator have no topic id.
    for metadata in ("", None, "by hand"):
        assert begin(Place.committed(7, metadata, None), "images", "topic-2") == Place(7)
    unnamed = Place(7, "images")
    assert begin(Place.committed(7, unnamed.metadata, None), "images", "topic-2") == unnamed
    assert begin(Place.committed(-1001, "", None), "images", "topic-1") is None


def test_a_commit_counts_the_refusals_before_it() -> None:
    said = Place(7, "topic-1", 3, 12)
    assert said.metadata == "refused=12 topic-id=topic-1"
    assert Place.committed(7, said.metadata, 3) == said
    assert Place(7, "topic-1").metadata == "topic-id=topic-1"
    # A commit of another topic counts nothing, and neither does a text of somebody else.
    assert begin(said, "images", "topic-2") is None
    for metadata in ("refused=", "refused=-3", "refused=many", "refused", "=", "a b=c"):
        assert Place.committed(7, metadata, None) == Place(7)


async def test_a_commit_says_of_which_topic_and_epoch_it_is(stage: Stage) -> None:
    async with running(stage.settings(), Workers().submit):
        await stage.send_values([b"a", b"b"])
        await stage.until_committed(2)
    client = Consumer({"bootstrap.servers": stage.bootstrap, "group.id": f"group-{stage.topic}"})
    (found,) = await asyncio.to_thread(client.committed, [TopicPartition(stage.topic, 0)], 10)
    client.close()
    assert (found.metadata or "").startswith("topic-id=")
    assert found.leader_epoch >= 0


async def test_a_commit_of_the_topic_before_skips_nothing(stage: Stage) -> None:
    first, second = Workers(), Workers()
    await stage.send_values([b"old"] * 3)
    async with running(stage.settings(), first.submit):
        await stage.until_committed(3)
    old = Place(3, first.jobs[0].position.topic_id if first.jobs[0].position else "")
    await made_again(stage)
    await asyncio.to_thread(commit, stage, 3, old.metadata)
    await stage.send_values([b"new %d" % number for number in range(5)])
    async with running(stage.settings(), second.submit):
        await stage.until_committed(5)
    assert sorted(second.done_values) == [b"new %d" % number for number in range(5)]


async def test_a_topic_made_again_with_more_partitions_is_read_whole(stage: Stage) -> None:
    workers = Workers()
    async with running(stage.settings(), workers.submit) as consumer:
        await stage.send_values([b"old"] * 3)
        await stage.until_committed(3)
        await made_again(stage, partitions=3)
        for partition in range(3):
            await stage.send_values([b"new %d" % partition] * 4, partition)
        await until(lambda: len(workers.done) >= 3 + 12, "all partitions are read")
        for partition in range(3):
            await stage.until_committed(4, partition)
        await until(lambda: consumer.status().ready)
    assert len({job.image_id for job in workers.done}) == 3 + 12


async def test_a_broker_that_comes_back_with_less_is_read_from_there(
    stage: Stage, broker: Broker
) -> None:
    """The broker's disk is restored from a copy: offsets, commits and epochs come again."""
    workers = Workers()
    async with running(stage.settings(), workers.submit) as consumer:
        await stage.send_values([b"kept"])
        await stage.until_committed(1)
        await broker.keep()
        await until(lambda: consumer.status().ready, "ready on the copied broker")
        await stage.send_values([b"lost 1", b"lost 2"])
        await stage.until_committed(3)
        await broker.lose()
        # Four new messages for two lost ones: the log becomes longer than before the loss.
        values = [b"new %d" % number for number in range(4)]
        await stage.send_values(values)
        await stage.until_committed(5)
        await until(lambda: consumer.status().ready, "ready on the restored broker")
    assert set(values) <= set(workers.done_values)
    ids = {job.image_id: job.data.tobytes() for job in workers.done}
    assert sorted(ids.values()) == sorted([b"kept", b"lost 1", b"lost 2", *values])
