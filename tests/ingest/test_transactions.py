"""Transactions of producers on a real broker: their messages, their markers, their lag."""

import asyncio

from confluent_kafka import Producer

from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, running
from tests.waiting import until

_SECONDS = 40


def transactions(stage: Stage, *, committed: int, aborted: int) -> None:
    """Produce one transaction that is committed, then one that is aborted."""
    producer = Producer(
        {
            "bootstrap.servers": stage.bootstrap,
            "transactional.id": f"producer-{stage.topic}",
            "log_level": 0,
        }
    )
    producer.init_transactions(_SECONDS)
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
