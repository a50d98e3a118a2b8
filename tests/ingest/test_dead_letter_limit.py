"""Limit of dead letters in a row: it stops the consumer, and a restart does not reset the count."""

import asyncio

import pytest

from ingest.consumer import Consumer
from ingest.errors import KafkaUnavailable, TooManyDeadLetters, stays_stopped
from ingest.settings import IngestSettings
from processors.job import ImageJob
from processors.replica_answers import Answer
from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, created, refused, running
from tests.ingest.test_positions import commit
from tests.waiting import until

LIMIT = 3


def by_value(job: ImageJob) -> Answer:
    return refused() if job.data.tobytes() == b"bad" else "created"


def limited(stage: Stage, limit: int = LIMIT) -> IngestSettings:
    # The dead letter above the limit cancels all others in flight, so a count of several messages
    # in flight would vary.
    return stage.settings(kafka_max_dead_letters_in_a_row=limit, kafka_max_inflight_messages=1)


async def stopped(stage: Stage, workers: Workers) -> Consumer:
    """Run a consumer until it stops for its limit."""
    consumer = Consumer(limited(stage), workers.submit, workers.note)
    with pytest.raises(TooManyDeadLetters) as ended:
        await consumer.run()
    assert stays_stopped(ended.value)  # Serve does not replace it
    return consumer


async def test_a_stopped_consumer_says_why(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    await stage.send_values([b"good", *[b"bad"] * 10])
    consumer = await stopped(stage, Workers(by_value))
    assert not consumer.status().alive
    with pytest.raises(KafkaUnavailable, match=r"^too_many_dead_letters: 3 messages in a row"):
        await consumer.ready()
    assert len(await stage.dead_letters(LIMIT, more=0.2)) == LIMIT
    assert await asyncio.to_thread(stage.committed) == 1 + LIMIT
    (told,) = [each for each in caplog.records if each.message == "the consumer has ended"]
    assert told.levelname == "ERROR"
    assert f"3 messages in a row of {stage.topic}/0 were refused" in told.__dict__["error"]


async def test_no_restart_resets_the_count(stage: Stage) -> None:
    await stage.send_values([b"bad"] * 10)
    for _ in range(3):
        await stopped(stage, Workers(by_value))
        assert await asyncio.to_thread(stage.committed) == LIMIT
    assert len(await stage.dead_letters(LIMIT, more=0.2)) == LIMIT
    # Once the cause has ended, a restarted consumer reads on.
    async with running(limited(stage), Workers(created).submit) as consumer:
        await stage.until_committed(10)
        await until(lambda: consumer.status().ready)


async def test_an_image_ends_a_row(stage: Stage) -> None:
    for _ in range(3):
        await stage.send_values([b"bad", b"bad", b"good"])
    async with running(limited(stage), Workers(by_value).submit) as consumer:
        await stage.until_committed(9)
        assert consumer.status().outcomes == {"created": 3, "dead-lettered": 6}
    # The count was committed as 0, so that as many refusals as before are accepted.
    await stage.send_values([b"bad"] * LIMIT)
    async with running(limited(stage), Workers(by_value).submit):
        await stage.until_committed(9 + LIMIT)


async def test_each_partition_has_a_row_of_its_own(wide_stage: Stage) -> None:
    """A member that takes over a partition takes over its count."""
    for partition in range(4):
        await wide_stage.send_values([b"bad"] * LIMIT, partition)
    async with running(limited(wide_stage), Workers(by_value).submit):
        for partition in range(4):
            await wide_stage.until_committed(LIMIT, partition)
    await wide_stage.send_values([b"bad"], 2)
    consumer = await stopped(wide_stage, Workers(by_value))
    assert f"of {wide_stage.topic}/2 were refused" in str(consumer.status().fault)


async def test_the_operator_resets_the_count(stage: Stage) -> None:
    """Both ways that docs/kafka.md names: a higher limit, and a commit by Kafka's own command."""
    await stage.send_values([b"bad"] * 8)
    await stopped(stage, Workers(by_value))
    await asyncio.to_thread(commit, stage, LIMIT + 1, "")
    await stopped(stage, Workers(by_value))
    assert await asyncio.to_thread(stage.committed) == 2 * LIMIT + 1
    async with running(limited(stage, 10), Workers(by_value).submit):
        await stage.until_committed(8)
