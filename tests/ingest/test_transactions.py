"""Transactions of producers on a real broker: their messages, their markers, their lag."""

import asyncio

import pytest
from confluent_kafka import Producer

from ingest.librdkafka import Held
from ingest.offsets import Partition
from ingest.transactions import OpenTransactions
from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, running
from tests.waiting import until

_SECONDS = 40


def begun(stage: Stage) -> Producer:
    producer = Producer(
        {
            "bootstrap.servers": stage.bootstrap,
            "transactional.id": f"producer-{stage.topic}",
            "log_level": 0,
        }
    )
    producer.init_transactions(_SECONDS)
    return producer


def left_open(stage: Stage) -> Producer:
    """Produce a message in a transaction that neither ends nor fails."""
    producer = begun(stage)
    producer.begin_transaction()
    producer.produce(stage.topic, b"open", partition=0)
    producer.flush(_SECONDS)
    return producer


def transactions(stage: Stage, *, committed: int, aborted: int) -> None:
    """Produce one transaction that is committed, then one that is aborted."""
    producer = begun(stage)
    for value, count, end in (
        (b"kept", committed, producer.commit_transaction),
        (b"aborted", aborted, producer.abort_transaction),
    ):
        producer.begin_transaction()
        for _ in range(count):
            producer.produce(stage.topic, value, partition=0)
        producer.flush(_SECONDS)
        end(_SECONDS)


async def test_after_transactions_nothing_is_left_to_read(stage: Stage) -> None:
    """A committed transaction ends in a marker; an aborted one has no message at all."""
    workers = Workers()
    await asyncio.to_thread(transactions, stage, committed=10, aborted=10)
    async with running(stage.settings(), workers.submit) as consumer:
        await stage.until_committed(22)
        await until(lambda: consumer.status().lag == 0, "no lag")
        assert workers.done_values == [b"kept"] * 10
        # A message that comes later is read, and the offsets before it stay committed.
        await stage.send_values([b"later"])
        await stage.until_committed(23)
    assert workers.done_values[10:] == [b"later"]


async def test_an_open_transaction_is_a_remark_and_no_lag(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Messages behind it wait for its producer; neither they nor the consumer are at fault."""
    workers = Workers()
    await stage.send_values([b"before"])
    async with running(stage.settings(kafka_stall_seconds=0.2), workers.submit) as consumer:
        await stage.until_committed(1)
        producer = await asyncio.to_thread(left_open, stage)
        await stage.send_values([b"behind"] * 3)
        await until(lambda: consumer.status().remark, "the remark")
        assert consumer.status().lag == 0
        assert (await consumer.ready() or "").startswith("transaction_open: a producer's tran")
        assert f"on {stage.topic}/0 from offset 1; 4 offsets wait" in str(consumer.status().remark)
        assert workers.done_values == [b"before"]
        await asyncio.to_thread(producer.commit_transaction, _SECONDS)
        await stage.until_committed(6)
        await until(lambda: consumer.status().remark is None, "no remark")
        assert await consumer.ready() is None
        await until(lambda: consumer.status().lag == 0, "no lag")
    assert workers.done_values == [b"before", b"open", *[b"behind"] * 3]
    told = [r for r in caplog.records if r.getMessage() == "a producer's transaction is open"]
    assert [(r.levelname, r.__dict__["offset"]) for r in told] == [("WARNING", 1)]
    assert not [r for r in caplog.records if "deliver nothing" in r.getMessage()]


def test_a_producer_that_goes_on_leaves_no_transaction_open() -> None:
    """A busy producer has an open transaction at every moment, but never the same one for long."""
    watch, partition = OpenTransactions(60), Partition("images", 0)
    for second in range(300):
        watch.look(second, {partition: Held(second // 50, 999)})
        assert watch.remark is None
    watch.look(400, {partition: Held(5, 999)})
    assert "150 s on images/0 from offset 5; 994 offsets" in str(watch.remark)
    watch.look(401, {})
    assert watch.remark is None
