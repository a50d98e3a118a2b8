"""Guarantees for producers: no message is lost or skipped, and poison blocks no other message."""

import asyncio
import hashlib
from collections import Counter
from datetime import UTC, datetime

import pytest

from ingest import errors
from ingest.consumer import Consumer
from ingest.errors import StreamStopped, WorkersUnavailable
from ingest.waits import Waits
from lake.commit.rejections import Refusal, Settled
from lake.errors import IdempotencyConflict, ImageErased, StoreUnavailable, StoreUntrustworthy
from processors.errors import TooManyPixels, UnknownPreset
from processors.job import ImageJob
from processors.replica_answers import Answer
from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, refused, running, unavailable
from tests.ingest.wire import Sent
from tests.waiting import until


def value_of(job: ImageJob) -> bytes:
    return job.data.tobytes()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
async def test_every_message_is_submitted_once_and_committed(
    wide_stage: Stage, protocol: str
) -> None:
    sent = [f"{number:03}".encode() for number in range(100)]
    await wide_stage.send_values(sent[:60], partition=0)
    await wide_stage.send_values(sent[60:], partition=1)
    workers = Workers()
    settings = wide_stage.settings(kafka_group_protocol=protocol)
    async with running(settings, workers.submit) as consumer:
        await wide_stage.until_committed(60, partition=0)
        await wide_stage.until_committed(40, partition=1)
        await consumer.ready()
        assert consumer.status().outcomes == {"created": 100}
    assert sorted(workers.done_values) == sent
    assert max(workers.batches) <= settings.kafka_batch_messages


async def test_a_refused_message_is_a_dead_letter_and_the_stream_goes_on(stage: Stage) -> None:
    workers = Workers(
        lambda job: refused(TooManyPixels, 5) if value_of(job) == b"bad" else "created"
    )
    await stage.send(Sent(b"one"), Sent(b"bad", headers=[("camera", b"7")], key=b"k"), Sent(b"two"))
    async with running(stage.settings(), workers.submit):
        await stage.until_committed(3)
    assert workers.done_values == [b"one", b"two"]
    (letter,) = await stage.dead_letters(1, more=0.2)
    refused_at = letter.headers.pop("pixlake-dead-letter-time") or b""
    assert (datetime.now(UTC) - datetime.fromisoformat(refused_at.decode())).total_seconds() < 60
    assert (letter.value, letter.key) == (b"bad", b"k")
    assert letter.headers == {
        "camera": b"7",
        "pixlake-dead-letter-code": b"too_many_pixels",
        "pixlake-dead-letter-detail": b"refused: too_many_pixels",
        "pixlake-dead-letter-limit": b"5",
        "pixlake-dead-letter-topic": stage.topic.encode(),
        "pixlake-dead-letter-partition": b"0",
        "pixlake-dead-letter-offset": b"1",
    }


async def test_a_refusal_is_noted_before_its_dead_letter_and_waits_for_the_store(
    stage: Stage,
) -> None:
    workers = Workers(lambda _: refused(TooManyPixels, 5))
    store_is_away = asyncio.Event()
    tried = 0

    async def note(refusal: Refusal) -> Settled:
        nonlocal tried
        tried += 1
        if not store_is_away.is_set():
            raise StoreUnavailable("the store is away")
        return await workers.note(refusal)

    await stage.send(Sent(b"bad"))
    async with running(stage.settings(), workers.submit, note) as consumer:
        await until(lambda: tried > 1)
        assert consumer.status().outcomes == {}
        assert "the store is away" in (consumer.status().error or "")
        assert stage.committed() < 0
        assert await stage.dead_letters(0, more=0.2) == []
        store_is_away.set()
        await stage.until_committed(1)
    (noted,) = workers.noted
    assert (noted.topic, noted.partition, noted.offset) == (stage.topic, 0, 0)
    assert (noted.fault.code, noted.fault.limit, noted.bytes) == ("too_many_pixels", 5, 3)
    assert len(await stage.dead_letters(1, more=0.2)) == 1


async def test_bad_messages_never_reach_the_workers(stage: Stage) -> None:
    preset = "pixlake-preset"
    await stage.send(
        Sent(None),
        Sent(b""),
        Sent(b"x", headers=[(preset, b"no such")]),
        Sent(b"x", headers=[(preset, b"\xff")]),
        Sent(b"x", headers=[("ce_specversion", b"1.0"), ("ce_id", b"1")]),
        Sent(b"x" * 1001),
        Sent(b"good"),
    )
    workers = Workers()
    async with running(stage.settings(kafka_max_message_bytes=1000), workers.submit):
        await stage.until_committed(7)
    assert workers.done_values == [b"good"]
    letters = await stage.dead_letters(6, more=0.2)
    codes = Counter(letter.headers["pixlake-dead-letter-code"] for letter in letters)
    assert codes == {
        b"empty_body": 2,
        b"unknown_preset": 1,
        b"invalid_header": 1,
        b"invalid_event": 1,
        b"too_many_bytes": 1,
    }
    (large,) = (x for x in letters if x.headers["pixlake-dead-letter-code"] == b"too_many_bytes")
    assert large.headers["pixlake-dead-letter-limit"] == b"1000"
    assert large.headers["pixlake-dead-letter-value"] == b"1001"


async def test_a_dead_letter_too_large_for_its_topic_goes_without_its_value(stage: Stage) -> None:
    value = bytes(range(256)) * 10_000  # more than the client sends with a limit of 1 kB
    await stage.send(Sent(value, headers=[("camera", b"7")]), Sent(b"good"))
    workers = Workers()
    async with running(stage.settings(kafka_max_message_bytes=1000), workers.submit):
        await stage.until_committed(2)
    (letter,) = await stage.dead_letters(1, more=0.2)
    assert letter.value is None
    assert letter.headers["pixlake-dead-letter-code"] == b"too_many_bytes"
    assert letter.headers["pixlake-dead-letter-value-omitted"] == b"true"
    assert letter.headers["pixlake-dead-letter-bytes"] == str(len(value)).encode()
    digest = hashlib.sha256(value).hexdigest().encode()
    assert letter.headers["pixlake-dead-letter-sha256"] == digest


async def test_nothing_is_committed_past_what_is_not_durable(stage: Stage) -> None:
    away = True

    def answer(job: ImageJob) -> Answer:
        return unavailable() if away and value_of(job) == b"2" else "created"

    workers = Workers(answer)
    await stage.send_values([b"0", b"1", b"2", b"3", b"4"])
    async with running(stage.settings(), workers.submit) as consumer:
        await until(lambda: consumer.status().retries >= 3)
        await stage.until_committed(2)
        assert sorted(workers.done_values) == [b"0", b"1", b"3", b"4"]
        await consumer.ready()
        away = False
        await stage.until_committed(5)
    assert sorted(workers.done_values) == [b"0", b"1", b"2", b"3", b"4"]


async def test_one_stuck_message_pauses_its_partition_only(wide_stage: Stage) -> None:
    stuck = True

    def answer(job: ImageJob) -> Answer:
        return unavailable() if stuck and value_of(job) == b"stuck" else "created"

    workers = Workers(answer)
    # The pause may begin only after the messages that were read with the stuck one. So two
    # read-aheads of 10 messages are allowed.
    await wide_stage.send_values([b"stuck", *[b"behind"] * 30])
    settings = wide_stage.settings(kafka_max_uncommitted_messages=10, kafka_batch_messages=4)
    async with running(settings, workers.submit) as consumer:
        await until(lambda: consumer.status().paused == 1)
        await wide_stage.send_values([b"other"] * 50, partition=1)
        await wide_stage.until_committed(50, partition=1)
        assert Counter(workers.done_values)[b"behind"] < 20
        stuck = False
        await wide_stage.until_committed(31, partition=0)
    assert Counter(workers.done_values) == {b"stuck": 1, b"behind": 30, b"other": 50}


async def test_erased_moves_on_without_a_dead_letter_and_a_conflict_with_one(stage: Stage) -> None:
    answers = {b"erased": refused(ImageErased), b"conflict": refused(IdempotencyConflict)}
    workers = Workers(lambda job: answers.get(value_of(job)) or "replayed")
    await stage.send_values([b"erased", b"conflict", b"again"])
    async with running(stage.settings(), workers.submit) as consumer:
        await stage.until_committed(3)
        status = consumer.status()
    assert status.outcomes == {"erased": 1, "dead-lettered": 1, "replayed": 1}
    assert status.dead_letters == {"idempotency_conflict": 1}
    (letter,) = await stage.dead_letters(1, more=0.2)
    assert letter.value == b"conflict"


async def test_what_kills_its_worker_is_found_and_dead_lettered(stage: Stage) -> None:
    workers = Workers()

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        if any(value_of(job) == b"poison" for job in jobs):
            raise RuntimeError("the replica died")
        return await workers.submit(jobs)

    await stage.send_values([b"a", b"b", b"poison", b"c", b"d"])
    async with running(stage.settings(), submit):
        await stage.until_committed(5)
    assert sorted(workers.done_values) == [b"a", b"b", b"c", b"d"]
    (letter,) = await stage.dead_letters(1, more=0.2)
    assert letter.value == b"poison"
    assert letter.headers["pixlake-dead-letter-code"] == b"internal"
    assert b"the replica died" in (letter.headers["pixlake-dead-letter-detail"] or b"")


async def test_workers_that_are_away_are_nobodys_fault(stage: Stage) -> None:
    workers = Workers()
    refusals = 7  # more tries than make a message poison

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        nonlocal refusals
        refusals -= 1
        if refusals > 0:
            raise WorkersUnavailable("no replica")
        return await workers.submit(jobs)

    await stage.send_values([b"a"])
    async with running(stage.settings(), submit, waits=Waits(longest=0.2)) as consumer:
        await stage.until_committed(1)
        assert consumer.status().outcomes == {"created": 1}


async def test_a_submit_that_hangs_or_is_cancelled_is_tried_again(stage: Stage) -> None:
    workers = Workers()
    calls = 0

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()
        if calls == 2:
            raise asyncio.CancelledError
        if calls == 3:
            return []
        return await workers.submit(jobs)

    await stage.send_values([b"a"])
    async with running(stage.settings(kafka_submit_timeout_seconds=0.2), submit):
        await stage.until_committed(1)
    assert workers.done_values == [b"a"]


@pytest.mark.parametrize("full", ["bytes", "messages"])
async def test_what_is_under_way_stays_within_its_bound(stage: Stage, full: str) -> None:
    size, most = 10_000, 5
    bound = {"bytes": {"kafka_max_inflight_bytes": size * most - 1}}.get(
        full, {"kafka_max_inflight_messages": most}
    )
    seen = 0

    class Slow(Workers):
        async def submit(self, jobs: list[ImageJob]) -> list[Answer]:
            nonlocal seen
            status = consumer.status()
            seen = max(seen, status.inflight_messages)
            assert status.inflight_bytes <= size * most
            return await super().submit(jobs)

    workers = Slow()
    workers.gate.clear()
    await stage.send_values([bytes(size)] * 40)
    async with running(stage.settings(**bound, kafka_batch_messages=2), workers.submit) as consumer:
        await until(lambda: consumer.status().paused == 1, "full for a second: paused")
        assert len(workers.jobs) == most
        workers.gate.set()
        await stage.until_committed(40)
    assert seen == most
    assert len(workers.done) == 40


async def test_a_large_message_passes(stage: Stage) -> None:
    value = bytes(range(250)) * 80_000  # 20 MB
    await stage.send(Sent(value), Sent(b"small"))
    workers = Workers()
    async with running(stage.settings(), workers.submit):
        await stage.until_committed(2)
    assert workers.done_values == [value, b"small"]


async def test_stop_finishes_what_is_under_way(stage: Stage) -> None:
    workers = Workers()
    workers.gate.clear()
    await stage.send_values([b"a", b"b", b"c"])
    consumer = Consumer(
        stage.settings(kafka_commit_interval_seconds=60), workers.submit, workers.note
    )
    task = asyncio.create_task(consumer.run())
    await until(lambda: len(workers.jobs) == 3)
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.sleep(0)
    assert not consumer.status().ready
    workers.gate.set()
    await stopping
    await task
    assert await asyncio.to_thread(stage.committed) == 3


async def test_stop_does_not_wait_for_ever(stage: Stage) -> None:
    workers = Workers()
    workers.gate.clear()
    await stage.send_values([b"a"])
    async with running(stage.settings(kafka_drain_seconds=0.2), workers.submit):
        await until(lambda: len(workers.jobs) == 1)
    assert await asyncio.to_thread(stage.committed) < 0


async def test_a_store_that_lies_stops_the_stream(stage: Stage) -> None:
    await stage.send_values([b"a"])
    workers = Workers(lambda _: refused(StoreUntrustworthy))
    with pytest.raises(StreamStopped) as ended:
        await Consumer(stage.settings(), workers.submit, workers.note).run()
    assert not errors.stays_stopped(ended.value)
    assert await asyncio.to_thread(stage.committed) < 0


async def test_a_default_preset_that_does_not_exist_is_a_fault_at_start() -> None:
    stage = Stage("127.0.0.1:1", "images")
    with pytest.raises(UnknownPreset):
        Consumer(stage.settings(default_preset="we b"), Workers().submit, Workers().note)
