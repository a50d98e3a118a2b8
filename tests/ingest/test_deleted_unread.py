"""Messages that a real broker deletes before they are read: logged, counted, and not in the lag."""

import asyncio
import logging

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, running
from tests.waiting import until

_SECONDS = 20
_MESSAGE = "Kafka deleted messages before they were read"


def delete_before(stage: Stage, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": stage.bootstrap, "log_level": 0})
    place = TopicPartition(stage.topic, 0, offset)
    for future in admin.delete_records([place]).values():
        future.result(_SECONDS)


async def read_and_leave(stage: Stage, count: int) -> None:
    await stage.send_values([b"read"] * count)
    async with running(stage.settings(), Workers().submit):
        await stage.until_committed(count)


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [each for each in caplog.records if each.getMessage() == _MESSAGE]


@pytest.mark.parametrize("left", [4, 0])
async def test_deleted_messages_are_logged_and_counted(
    stage: Stage, caplog: pytest.LogCaptureFixture, left: int
) -> None:
    await read_and_leave(stage, 3)
    await stage.send_values([b"unread"] * 6 + [b"left"] * left)
    await asyncio.to_thread(delete_before, stage, 9)
    workers = Workers()
    async with running(stage.settings(), workers.submit) as consumer:
        await stage.until_committed(9 + left)
        await until(lambda: consumer.status().deleted == 6)
        await until(lambda: consumer.status().lag == 0, "no lag")
    assert workers.done_values == [b"left"] * left
    (error,) = errors(caplog)
    assert error.levelno == logging.ERROR
    told = {name: error.__dict__[name] for name in ("topic", "partition", "messages")}
    assert told == {"topic": stage.topic, "partition": 0, "messages": 6}
    assert (error.__dict__["first_offset"], error.__dict__["next_offset"]) == (3, 9)


async def test_messages_that_were_read_before_their_deletion_are_not_counted(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    workers = Workers()
    await stage.send_values([b"a"] * 5)
    async with running(stage.settings(), workers.submit) as consumer:
        await stage.until_committed(5)
        await asyncio.to_thread(delete_before, stage, 5)
        await stage.send_values([b"b"])
        await stage.until_committed(6)
        assert consumer.status().deleted == 0
    assert errors(caplog) == []
