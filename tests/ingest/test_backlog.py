"""Lag and backlog of a real group: messages that workers hold are no backlog."""

from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, running
from tests.waiting import until


async def test_messages_that_workers_hold_are_lag_and_no_backlog(stage: Stage) -> None:
    """A frozen worker holds a batch: another consumer would not help, and nothing is late to read.

    The first messages are committed, because the lag of a group without a commit is unknown.
    """
    workers = Workers()
    settings = stage.settings(kafka_batch_messages=5)
    async with running(settings, workers.submit) as consumer:
        await stage.send_values([b"a"])
        await stage.until_committed(1)
        workers.gate.clear()
        await stage.send_values([b"b"] * 10)
        await until(lambda: consumer.status().inflight_messages == 10, "all are with workers")
        await until(lambda: consumer.status().lag == 10, "not committed")
        await until(lambda: consumer.status().unread == 0, "all are read")
        workers.gate.set()
        await stage.until_committed(11)
        await until(lambda: (consumer.status().lag, consumer.status().unread) == (0, 0), "no lag")


async def test_messages_that_come_in_a_pause_are_a_backlog(stage: Stage) -> None:
    """The client learns the end of a log only from what it fetches, and fetches nothing then."""
    workers = Workers()
    settings = stage.settings(
        kafka_batch_messages=5, kafka_max_inflight_messages=5, kafka_stall_seconds=1
    )
    async with running(settings, workers.submit) as consumer:
        await stage.send_values([b"a"])
        await stage.until_committed(1)
        workers.gate.clear()
        await stage.send_values([b"b"] * 5)
        await until(lambda: consumer.status().paused == 1, "paused")
        await stage.send_values([b"c"] * 7)
        await until(lambda: (consumer.status().lag, consumer.status().unread) == (12, 7), "counted")
        workers.gate.set()
        await stage.until_committed(13)
        await until(lambda: (consumer.status().lag, consumer.status().unread) == (0, 0), "no lag")
