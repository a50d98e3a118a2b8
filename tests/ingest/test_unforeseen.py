"""Unexpected exceptions: counted tries, then a dead letter; the partition is never blocked."""

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest

from ingest.consumer import Consumer
from ingest.dead_letters import DeadLetters
from ingest.messages import Headers, Message, MessageDefaults, to_job
from lake.commit.rejections import Refusal, Settled
from lake.errors import Fault, StoreUnavailable
from lake.lake import Commit, Lake
from lake.settings import LakeSettings
from processors.columns import Columns
from processors.errors import ProcessingFailed
from processors.job import ImageJob, by_key
from processors.preset import ARCHIVE
from processors.replica_answers import Answer, answers
from processors.settings import ProcessorSettings
from processors.worker import Worker
from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, created, refused, running
from tests.ingest.test_with_workers import photo
from tests.ingest.wire import Sent
from tests.processors.hostile import avif_of_ticks
from tests.waiting import until

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
CODE, DETAIL = "pixlake-dead-letter-code", "pixlake-dead-letter-detail"


def unforeseen(_: ImageJob) -> Answer:
    return ProcessingFailed("OverflowError: Python int too large")


def bad() -> Workers:
    return Workers(lambda job: unforeseen(job) if job.data.tobytes() == b"bad" else created(job))


async def test_an_exception_of_one_message_is_tried_and_then_a_dead_letter(stage: Stage) -> None:
    workers = bad()
    await stage.send_values([b"a", b"bad", b"c"])
    async with running(stage.settings(), workers.submit, workers.note) as consumer:
        await stage.until_committed(3)
        assert consumer.status().outcomes == {"created": 2, "dead-lettered": 1}
    assert sorted(workers.done_values) == [b"a", b"c"], "the others of its batch once"
    assert sum(job.data.tobytes() == b"bad" for job in workers.jobs) == 3
    (letter,) = await stage.dead_letters(1, more=0.2)
    assert letter.value == b"bad"
    assert letter.headers[CODE] == b"internal"
    assert b"OverflowError: Python int too large" in (letter.headers[DETAIL] or b"")
    (row,) = workers.noted
    assert row.reason.detail.startswith("failed 3 times on its own, the last time: OverflowError")


async def test_a_line_of_the_log_names_its_message(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async def unwritable(*_: object) -> Settled:
        raise OverflowError("no such row")

    workers = bad()
    await stage.send_values([b"a", b"bad"])
    async with running(stage.settings(), workers.submit, unwritable):
        await stage.until_committed(2)
    ours = {"ingest.batch_processor", "ingest.rejection_rows"}
    lines = [vars(each) for each in caplog.records if each.name in ours]
    assert {line["message"] for line in lines} == {
        "a refusal failed with an unexpected error",
        "no row for a rejection",
    }
    places = {(line["topic"], line["partition"], line["offset"]) for line in lines}
    assert places == {(stage.topic, 0, 1)}


async def test_tries_before_a_restart_count(stage: Stage) -> None:
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    workers, counted = bad(), []

    async def count(rejection_id: str, how: str) -> int:
        counted.append(await lake.tries.failed(rejection_id, how))
        return counted[-1]

    await stage.send_values([b"bad", b"behind"])
    first = Consumer(stage.settings(), workers.submit, workers.note, count)
    task = asyncio.create_task(first.run())
    await until(lambda: len(counted) == 2)
    task.cancel()
    await asyncio.wait({task})
    assert workers.noted == []
    async with running(stage.settings(), workers.submit, workers.note, count):
        await stage.until_committed(2)
    assert counted == [1, 2, 3]
    (row,) = workers.noted
    assert row.reason.detail.startswith("failed 3 times")
    assert len(await stage.dead_letters(1, more=0.2)) == 1


async def test_a_count_that_nobody_keeps_is_counted_here(stage: Stage) -> None:
    async def away(*_: str) -> int:
        raise StoreUnavailable("the store is away")

    workers = bad()
    await stage.send_values([b"bad"])
    async with running(stage.settings(), workers.submit, workers.note, away):
        await stage.until_committed(1)
    assert len(workers.noted) == 1


@pytest.mark.parametrize("times", [3, 100])
async def test_a_refusal_that_cannot_be_written_ends_as_well(stage: Stage, times: int) -> None:
    """The fourth try leaves out what the reason quotes; after six, the dead letter has no row."""
    workers = Workers(lambda job: refused() if job.data.tobytes() == b"bad" else created(job))
    tried: list[Refusal] = []

    async def note(refusal: Refusal) -> Settled:
        tried.append(refusal)
        if len(tried) <= times:
            raise OverflowError("int too large to convert to float")
        return await workers.note(refusal)

    await stage.send_values([b"bad", b"behind"])
    async with running(stage.settings(), workers.submit, note) as consumer:
        await stage.until_committed(2)
        assert consumer.status().outcomes == {"created": 1, "dead-lettered": 1}
    (letter,) = await stage.dead_letters(1, more=0.2)
    assert letter.headers[CODE] == b"internal"
    assert b"OverflowError: int too large" in (letter.headers[DETAIL] or b"")
    assert [each.fault.code for each in tried[:4]] == [*["not_an_image"] * 3, "internal"]
    assert tried[3].image_id is None
    assert len(workers.noted) == (times == 3)


async def test_a_message_that_cannot_be_read_is_a_dead_letter(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(message: Message, defaults: MessageDefaults, received_at: datetime) -> ImageJob:
        if message.value == b"bad":
            raise RecursionError("too deep")
        return to_job(message, defaults, received_at)

    monkeypatch.setattr("ingest.consumer.to_job", failing)
    workers = Workers()
    await stage.send_values([b"bad", b"behind"])
    async with running(stage.settings(), workers.submit, workers.note):
        await stage.until_committed(2)
    (letter,) = await stage.dead_letters(1, more=0.2)
    assert letter.headers[CODE] == b"internal"
    assert b"RecursionError: too deep" in (letter.headers[DETAIL] or b"")


async def test_a_dead_letter_that_the_client_does_not_take_goes_without_its_message() -> None:
    sent: list[tuple[bytes | None, dict[str, bytes | None]]] = []

    class Picky:
        async def send(self, _: str, value: bytes | None, __: bytes | None, head: Headers) -> None:
            if value is not None:
                raise TypeError("headers of no kind that this client knows")
            sent.append((value, dict(head)))

    message = Message("images", "id", 1, 2, b"value", key=b"key", headers=(("a", b"b"),))
    await DeadLetters(Picky(), "dead").send(message, Fault("truncated", "why"))
    ((value, head),) = sent
    assert value is None
    assert head[CODE] == b"truncated"
    assert "a" not in head


async def test_a_sequence_that_says_to_run_for_ever_is_stored(stage: Stage) -> None:
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    worker = await Worker.start(lake, ProcessorSettings(sandbox_children=1))

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        return answers(await worker.handle_many(jobs))

    await stage.send(Sent(photo(1)), Sent(avif_of_ticks(2**63)), Sent(photo(2)))
    try:
        async with running(stage.settings(), submit, lake.rejections.settle) as consumer:
            await stage.until_committed(3)
            assert consumer.status().outcomes == {"created": 3}
        page = await lake.reader.page("default", 10, None)
    finally:
        await worker.close()
    assert [(each.format, each.duration_ms) for each in page.records].count(("avif", None)) == 1


async def test_what_nobody_foresaw_in_a_worker_fails_its_slot_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    worker = await Worker.start(lake, ProcessorSettings(sandbox_children=1))
    handle = Worker.handle

    async def failing(self: Worker, job: ImageJob) -> Commit:
        if job.data.tobytes() == photo(1):
            raise OverflowError("a\x1b[2J")
        return await handle(self, job)

    monkeypatch.setattr(Worker, "handle", failing)
    jobs = [
        ImageJob("t", "api", by_key(str(n)), np.frombuffer(photo(n), np.uint8), ARCHIVE, NOW)
        for n in range(3)
    ]
    try:
        ends = await worker.handle_many(jobs)
    finally:
        await worker.close()
    assert [type(end) for end in ends] == [Commit, ProcessingFailed, Commit]
    assert str(ends[1]) == "OverflowError: a[2J"


async def test_what_fails_after_processing_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    worker = await Worker.start(lake, ProcessorSettings(sandbox_children=1))

    def failing(*_: object, **__: object) -> Columns:
        raise ValueError("no column is like this")

    monkeypatch.setattr("processors.worker.columns_of", failing)
    job = ImageJob("t", "api", by_key("1"), np.frombuffer(photo(1), np.uint8), ARCHIVE, NOW)
    try:
        with pytest.raises(ValueError, match="no column"):
            await worker.handle(job)
    finally:
        await worker.close()
    assert await lake.store.objects("images") == []
