"""Readiness of the consumer: ready exactly while messages are read and finished."""

import asyncio
from functools import partial

import pytest

from ingest.errors import StreamNotReady
from ingest.waits import Waits
from lake.commit.rejections import Refusal, Settled
from lake.errors import ImageExpiring, RejectionsDenied, StoreFull, Unavailable
from processors.job import ImageJob
from processors.replica_answers import Answer
from tests.ingest import doubles, wire
from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, created, refused
from tests.waiting import until

STALL = 0.4


running = partial(doubles.running, waits=Waits(longest=0.4))


async def test_a_store_that_takes_nothing_is_told(stage: Stage) -> None:
    workers = Workers(lambda _: refused(StoreFull))
    await stage.send_values([b"a", b"b"])
    async with running(stage.settings(kafka_stall_seconds=STALL), workers.submit) as consumer:
        await until(lambda: consumer.status().ready or workers.batches)
        await until(lambda: "store_full" in str(consumer.status().fault))
        with pytest.raises(StreamNotReady, match=r"^store_full: messages wait for the store$"):
            await consumer.ready()
        assert not consumer.status().ready
        workers.answer = created
        await stage.until_committed(2)
        assert consumer.status().ready


async def test_one_partition_that_waits_is_told_while_the_others_go_on(wide_stage: Stage) -> None:
    stuck = b"stuck"

    def answer(job: ImageJob) -> Answer:
        return refused(StoreFull) if job.data.tobytes() == stuck else "created"

    workers = Workers(answer)
    await wide_stage.send_values([stuck], 0)
    async with running(wide_stage.settings(kafka_stall_seconds=STALL), workers.submit) as consumer:
        for number in range(3):
            await wide_stage.send_values([b"fine"], 1)
            await wide_stage.until_committed(number + 1, 1)
        await until(lambda: "store_full" in str(consumer.status().fault))


async def test_a_message_of_its_own_fault_leaves_the_consumer_ready(stage: Stage) -> None:
    workers = Workers(lambda _: refused(ImageExpiring))
    await stage.send_values([b"a"])
    async with running(stage.settings(kafka_stall_seconds=STALL), workers.submit) as consumer:
        await until(lambda: consumer.status().retries > 3)
        await until(lambda: consumer.status().ready)
        workers.answer = created
        await stage.until_committed(1)


async def test_workers_that_never_answer_are_told(stage: Stage) -> None:
    workers = Workers()
    workers.gate.clear()
    await stage.send_values([b"a"])
    async with running(stage.settings(kafka_stall_seconds=0.1), workers.submit) as consumer:
        await until(lambda: "no_progress" in str(consumer.status().fault))
        workers.gate.set()
        await until(lambda: consumer.status().ready)


async def test_a_dead_letter_topic_that_is_gone_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.librdkafka.DELIVERY_MS", 2000)
    workers = Workers(lambda _: refused())
    async with running(stage.settings(kafka_stall_seconds=1), workers.submit) as consumer:
        await until(lambda: consumer.status().ready)
        dead = f"{stage.topic}.dead-letters"
        await asyncio.to_thread(wire.delete_topic, stage.bootstrap, dead)
        await stage.send_values([b"bad"])
        await until(lambda: "dead letters can't be written" in str(consumer.status().fault))
        with pytest.raises(StreamNotReady, match=r"^(topic_missing|kafka_unavailable): "):
            await consumer.ready()
        assert consumer.status().outcomes == {}
        await asyncio.to_thread(wire.create_topic, stage.bootstrap, dead)
        await stage.until_committed(1)


async def test_rejections_that_are_denied_for_good_hold_up_no_partition(stage: Stage) -> None:
    """The dead letters have the reasons, the missing rows are counted, images go on."""
    workers = Workers(lambda job: refused() if job.data.tobytes() == b"bad" else "created")
    denied = True

    async def note(refusal: Refusal) -> Settled:
        if denied:
            raise RejectionsDenied("s3:PutObject on rejections/ is missing")
        return await workers.note(refusal)

    settings = stage.settings(kafka_alone_seconds=1, kafka_stall_seconds=STALL)
    await stage.send_values([b"bad", b"good", b"bad"])
    async with running(settings, workers.submit, note) as consumer:
        await until(lambda: "rejections_denied" in str(consumer.status().fault))
        await stage.until_committed(3)
        assert consumer.status().unwritten == 2
        assert consumer.status().ready
        denied = False
        await stage.send_values([b"bad"])
        await stage.until_committed(4)
        assert consumer.status().unwritten == 2
    letters = await stage.dead_letters(3, more=0.2)
    assert [letter.headers["pixlake-dead-letter-code"] for letter in letters] == [
        b"not_an_image"
    ] * 3


async def test_a_store_that_is_away_is_no_missing_right(stage: Stage) -> None:
    async def note(_: Refusal) -> Settled:
        raise Unavailable("away")

    await stage.send_values([b"bad"])
    settings = stage.settings(kafka_alone_seconds=0.1, kafka_stall_seconds=STALL)
    async with running(settings, Workers(lambda _: refused()).submit, note) as consumer:
        await until(lambda: "unavailable" in str(consumer.status().fault))
        assert await asyncio.to_thread(stage.committed) < 0
        assert await stage.dead_letters(0, more=0.5) == []
