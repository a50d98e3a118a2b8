"""Messages older than the retention, on a real broker and with real workers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from ingest.batch_processor import Submit
from ingest.consumer import Consumer
from ingest.expired_log import ExpiredLog
from ingest.messages import Message, moment
from ingest.metrics import MESSAGES, samples
from ingest.offsets import Offsets, Partition
from lake.commit.kafka_messages import check_age
from lake.errors import MessageExpired
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.timing import TIMES
from processors.job import ImageJob
from processors.replica_answers import Answer, answers
from processors.settings import ProcessorSettings
from processors.worker import Worker
from tests.ingest import wire
from tests.ingest.conftest import Stage
from tests.ingest.doubles import running
from tests.ingest.test_with_workers import photo, rejections
from tests.ingest.wire import Sent
from tests.lake.clocks import at_age
from tests.waiting import until

_DAY = 86_400_000
_LINE = (
    "messages older than the retention are no images; PIXLAKE_KAFKA_OLD_MESSAGES=accept stores them"
)
_AT_1970 = 60_000


def days_ago(days: float) -> int:
    return int(datetime.now(UTC).timestamp() * 1000 - days * _DAY)


@pytest.fixture
async def lake() -> Lake:
    return await Lake.open(LakeSettings(store_url="memory://"))


@asynccontextmanager
async def workers(lake: Lake) -> AsyncIterator[Submit]:
    """Workers on a lake, which may see the store at a later time."""
    worker = await Worker.start(lake, ProcessorSettings(sandbox_children=1))

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        return answers(await worker.handle_many(jobs))

    try:
        yield submit
    finally:
        await worker.close()


async def read_all(stage: Stage, lake: Lake, count: int, **changes: object) -> dict[str, int]:
    """Read the topic from its beginning, as a group without commits; return the outcomes."""
    group = f"group-{lake.clock.now().timestamp()}-{changes.get('kafka_old_messages')}"
    settings = stage.settings(kafka_group=group, **changes)
    async with workers(lake) as submit, running(settings, submit, lake.rejections.settle) as it:
        await until(lambda: sum(it.status().outcomes.values()) == count)
        return it.status().outcomes


def make(stage: Stage, clock: str = "CreateTime") -> Stage:
    """Second topic that keeps its messages, because Kafka would delete old ones, too."""
    other = Stage(stage.bootstrap, f"{stage.topic}-dated")
    wire.create_topic(other.bootstrap, other.topic, retention_ms="-1", message_timestamp_type=clock)
    return other


async def test_an_old_message_is_no_image_and_no_dead_letter(
    stage: Stage, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    dated = make(stage)
    await dated.send(
        Sent(photo(0), milliseconds=days_ago(8)),
        Sent(b"no image", milliseconds=days_ago(8)),
        Sent(photo(1)),
        Sent(photo(2), milliseconds=_AT_1970),
        Sent(photo(3), milliseconds=days_ago(6)),
        Sent(photo(4), milliseconds=days_ago(400)),
    )
    found: list[Consumer] = []
    # Two refusals in a row would stop the consumer.
    settings = dated.settings(kafka_max_dead_letters_in_a_row=1)
    async with workers(lake) as submit:
        async with running(settings, submit, lake.rejections.settle) as consumer:
            await dated.until_committed(6)
            found.append(consumer)
        (consumer,) = found
    assert consumer.status().outcomes == {"created": 3, "expired": 3}
    assert consumer.status().dead_letters == {}
    assert MESSAGES.at(3, "expired") in list(samples(consumer.status()))
    await lake.maintenance.run_pass(now=True)
    assert sorted(await rejections(lake)) == [("message_expired", at) for at in (0, 1, 5)]
    assert len([each for each in caplog.records if each.getMessage() == _LINE]) == 1


async def test_an_archive_is_loaded_also_after_its_messages_expired(
    stage: Stage, lake: Lake
) -> None:
    dated = make(stage)
    await dated.send(*(Sent(photo(n), milliseconds=days_ago(400)) for n in range(2)))
    assert await read_all(dated, lake, 2) == {"expired": 2}
    accept = {"kafka_old_messages": "accept"}
    assert await read_all(dated, lake, 2, **accept) == {"created": 2}
    # A consumer with the other setting finds the images.
    assert await read_all(dated, lake, 2) == {"replayed": 2}


async def test_a_refused_message_that_expired_before_is_no_refusal(
    stage: Stage, lake: Lake
) -> None:
    dated = make(stage)
    await dated.send(*(Sent(b"no image %d" % n, milliseconds=days_ago(400)) for n in range(3)))
    assert await read_all(dated, lake, 3) == {"expired": 3}
    # Two refusals in a row would stop the consumer.
    one_by_one = {"kafka_batch_messages": 1, "kafka_max_inflight_messages": 1}
    accept = {"kafka_old_messages": "accept", "kafka_max_dead_letters_in_a_row": 1, **one_by_one}
    assert await read_all(dated, lake, 3, **accept) == {"expired": 3}


@pytest.mark.parametrize("clock", ["CreateTime", "LogAppendTime"])
async def test_what_is_gone_stays_gone_when_its_topic_is_read_again(
    stage: Stage, lake: Lake, clock: str
) -> None:
    dated = make(stage, clock)
    await dated.send(*(Sent(photo(n)) for n in range(3)))
    assert await read_all(dated, lake, 3) == {"created": 3}
    first, *_ = await _image_ids(lake)
    soon = at_age(lake, days=6, hours=23)
    await soon.eraser.erase("default", first)
    assert await read_all(dated, soon, 3) == {"erased": 1, "replayed": 2}
    assert await read_all(dated, at_age(lake, days=7, minutes=5), 3) == {"erased": 1, "expired": 2}
    assert await read_all(dated, at_age(lake, days=14), 3) == {"expired": 3}


async def test_a_message_whose_image_exists_is_a_replay(stage: Stage, lake: Lake) -> None:
    """The message waited in the topic for six days, so its image lives six days longer."""
    dated = make(stage)
    event = [("ce_id", b"1"), ("ce_source", b"//camera")]
    await dated.send(Sent(photo(0), milliseconds=days_ago(6)))
    # The second message of the event is the same image.
    await dated.send(*[Sent(photo(1), event, milliseconds=days_ago(6))] * 2)
    assert await read_all(dated, lake, 3) == {"created": 2, "replayed": 1}
    assert await read_all(dated, at_age(lake, days=3), 3) == {"replayed": 3}


async def _image_ids(lake: Lake) -> list[str]:
    page = await lake.reader.page("default", limit=10)
    return [record.image_id for record in page.records]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({}, None),
        ({"timestamp": moment(0)}, None),
        ({"timestamp": datetime(2000, 1, 1, tzinfo=UTC)}, None),
        ({"timestamp": datetime(2017, 1, 1, tzinfo=UTC)}, datetime(2017, 1, 1, tzinfo=UTC)),
        ({"appended_at": datetime(2017, 1, 1, tzinfo=UTC)}, datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_before_kafka_had_times_is_none(
    message: dict[str, datetime | None], expected: datetime | None
) -> None:
    assert Message("images", "id", 0, 0, b"", **message).time == expected  # type: ignore[arg-type]


async def test_a_message_expires_a_margin_before_the_retention(lake: Lake) -> None:
    now = lake.clock.now()
    end = timedelta(days=7) - TIMES.message_margin
    check_age(now - end + timedelta(minutes=1), lake.clock)
    with pytest.raises(MessageExpired):
        check_age(now - end - timedelta(minutes=1), lake.clock)


@pytest.mark.parametrize("time", [None, datetime.max.replace(tzinfo=UTC)])
async def test_a_message_of_no_time_or_of_the_future_does_not_expire(
    lake: Lake, time: datetime | None
) -> None:
    check_age(time, lake.clock)


def test_the_log_has_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    expired = ExpiredLog(lambda: now[0])
    for _ in range(130):
        expired.add(Message("images", "id", 0, 7, b""))
        now[0] += 1
    counts = [each.__dict__["messages"] for each in caplog.records if each.getMessage() == _LINE]
    assert counts == [1, 60, 60]


def test_an_expired_message_neither_counts_as_a_refusal_nor_ends_a_row_of_them() -> None:
    partition = Partition("images", 0)
    offsets = Offsets()
    offsets.assigned({partition: None})
    for offset, refused in enumerate((True, None, True, None)):
        tracked = offsets.taken(partition, offset)
        tracked.refused = refused
        offsets.done(tracked)
    assert offsets.refused_in_a_row(partition) == 2
