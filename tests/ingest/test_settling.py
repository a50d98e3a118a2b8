"""Settling of messages when calls fail in unusual ways; needs no broker."""

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from ingest.batch_processor import BatchProcessor, Count
from ingest.consumer import Consumer
from ingest.dead_letters import DeadLetters
from ingest.errors import StreamStopped
from ingest.in_flight import InFlight
from ingest.librdkafka import GroupState
from ingest.messages import Headers, Message
from ingest.offsets import Listener, Offsets, Partition
from ingest.positions import Place
from ingest.rejection_rows import Note
from ingest.settings import IngestSettings
from ingest.stream import PollPlan, Stream
from ingest.waits import WAITS, Waits
from lake import layout
from lake.commit.rejections import Refusal, Settled
from lake.errors import StoreTooNew, StoreUnavailable
from lake.lake import Lake
from lake.settings import LakeSettings
from processors.errors import ProcessingFailed
from processors.job import ImageJob
from processors.replica_answers import Answer
from tests.ingest.doubles import Workers, refused
from tests.lake.clocks import TestMachine, lake_on
from tests.lake.samples import record

PARTITION = Partition("images", 0)
ALONE = IngestSettings().kafka_alone_failures


def unforeseen(_: ImageJob) -> Answer:
    return ProcessingFailed("odd")


class Letters:
    def __init__(self) -> None:
        self.sent: list[bytes | None] = []

    async def send(self, _: str, value: bytes | None, __: bytes | None, ___: Headers) -> None:
        self.sent.append(value)


class Desk:
    """A consumer and its batch processor, without a Kafka cluster."""

    def __init__(
        self,
        workers: Workers,
        note: Note,
        count: Count | None = None,
        *,
        alone_seconds: float = 0,
        submit_seconds: float = 120,
        waits: Waits = WAITS,
    ) -> None:
        settings = IngestSettings(
            kafka_tenant="default",
            kafka_alone_seconds=alone_seconds,
            kafka_submit_timeout_seconds=submit_seconds,
        )
        self.letters = Letters()
        self.consumer = Consumer(settings, workers.submit, note, count, waits=waits)
        self.delivery = BatchProcessor(
            workers.submit,
            note,
            DeadLetters(self.letters, "dead"),
            self.consumer.settle,
            settings,
            count=count,
            waits=waits,
        )
        self.offsets = Offsets()
        self.offsets.assigned({PARTITION: None})

    async def take(self, offset: int, value: bytes = b"value") -> InFlight:
        message = Message("images", "topic-1", 0, offset, value)
        return await self.consumer.take(message, self.offsets.taken(PARTITION, offset))

    @property
    def outcomes(self) -> dict[str, int]:
        return self.consumer.status().outcomes


async def test_a_cancelled_call_settles_no_message_and_forgets_none() -> None:
    workers = Workers(lambda job: unforeseen(job) if job.data[0] == ord("o") else refused())
    cancelled: set[str] = set()

    async def note(refusal: Refusal) -> Settled:
        if "note" not in cancelled:
            cancelled.add("note")
            raise asyncio.CancelledError
        return await workers.note(refusal)

    async def count(*_: str) -> int:
        cancelled.add("count")
        raise asyncio.CancelledError

    desk = Desk(workers, note, count)
    await desk.delivery.deliver([await desk.take(0, b"odd"), await desk.take(1, b"bad")])
    assert cancelled == {"note", "count"}
    assert desk.outcomes == {"dead-lettered": 2}


async def test_a_batch_that_somebody_cancels_ends_the_consumer() -> None:
    desk = Desk(Workers(), Workers().note)
    task = desk.consumer.launch(desk.delivery, [await desk.take(0)])
    task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(0)
    assert "a batch was cancelled" in (desk.consumer.status().error or "")


async def test_a_store_that_nobody_may_use_stops_the_stream_in_a_refusal() -> None:
    async def note(_: Refusal) -> Settled:
        raise StoreTooNew("made by a later Pixlake")

    desk = Desk(Workers(lambda _: refused()), note)
    with pytest.raises(StreamStopped):
        await desk.delivery.deliver([await desk.take(0)])
    assert desk.letters.sent == []
    assert desk.outcomes == {}


@pytest.mark.parametrize(("before", "fails"), [(5 * ALONE, 0), (0, 1)])
async def test_an_image_that_fails_when_it_is_read_again_stays_one(before: int, fails: int) -> None:
    """A stored image is replayed, even after many failures or a refusal that is written late."""
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    tried = 0

    async def note(refusal: Refusal) -> Settled:
        nonlocal tried
        tried += 1
        if tried <= fails:
            raise RuntimeError("a bad moment")
        return await lake.rejections.settle(refusal)

    async def count(name: str, how: str) -> int:
        return before + await lake.tries.failed(name, how)

    desk = Desk(Workers(unforeseen), note, count)
    in_flight = await desk.take(7)
    assert isinstance(in_flight.job, ImageJob)
    attempt = await lake.committer.begin("default", in_flight.job.image_id)
    mine = record(attempt, b"value", source="kafka", topic="images", partition=0, offset=7)
    await lake.committer.commit(attempt, mine, {mine.original_key: b"value"})
    await desk.delivery.deliver([in_flight])
    assert desk.outcomes == {"replayed": 1}
    assert desk.letters.sent == []
    assert await lake.store.objects(layout.REJECTION_RECORDS) == []


class Cluster:
    """Test double of `ingest.group_client.Client`, on a log of one partition."""

    was_away = False
    state = GroupState(member=True)

    def __init__(self) -> None:
        self.topic_id_now, self.end = "images", 5
        self.committed: Place | None = None
        self.next: int | None = None

    def join(self, listener: Listener) -> "Cluster":
        self.listener = listener
        return self

    def poll(self, _: float) -> Message | None:
        if self.next is None:
            ids = {"images": self.topic_id_now}
            place = self.listener.assigned({PARTITION: self.committed}, ids)[PARTITION]
            self.next = place.offset if place else 0
        if self.next == self.end:
            return None
        self.next += 1
        return Message("images", "", 0, self.next - 1, b"value", epoch=0)

    def topic_id(self, _: str) -> str:
        return self.topic_id_now

    def first_offset(self, _: Partition) -> int:
        return 0

    def end_offsets(self, _: Collection[Partition]) -> Mapping[Partition, int]:
        return {PARTITION: self.end}

    def pause(self, _: frozenset[Partition]) -> None: ...

    def commit(self, places: Mapping[Partition, Place]) -> None:
        place = places[PARTITION]
        self.committed = Place.committed(place.offset, place.metadata, place.epoch)

    commit_now = commit

    def renew(self) -> None:
        self.next = None

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


def test_brokers_that_begin_to_have_topic_ids_have_no_other_topic() -> None:
    """Rolling upgrade: the topic stays the same, also when an old broker answers in between."""
    cluster = Cluster()
    stream = Stream(
        IngestSettings(kafka_commit_interval_seconds=0.001), lambda _, who: cluster.join(who)
    )
    read: list[int] = []
    for topic_id, end in (("images", 5), ("uuid", 6), ("images", 7), ("uuid", 8)):
        cluster.topic_id_now, cluster.end = topic_id, end
        while cluster.committed is None or cluster.committed.offset < end:
            for message, tracked in stream.turn(PollPlan(1000, 10, 0)):
                read.append(message.offset)
                stream.finish(tracked)
    # The message that was read when the id appeared is returned again, with the topic id.
    assert sorted(set(read)) == read == list(range(8))


async def test_a_folder_that_goes_away_takes_nothing_until_it_is_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lake = await Lake.open(LakeSettings(home=home, store_url=home.as_uri()))
    home.rename(tmp_path / "away")
    with pytest.raises(StoreUnavailable):
        await lake.store.put("images/a", b"a")
    home.mkdir()  # a mount point without its disk
    with pytest.raises(StoreUnavailable):
        await lake.store.create("images/a", b"a")
    assert list(home.iterdir()) == []
    home.rmdir()
    (tmp_path / "away").rename(home)
    await lake.store.put("images/a", b"a")


async def test_settings_that_cannot_be_read_are_no_fault_of_an_image() -> None:
    machine = TestMachine()
    lake = await lake_on(machine, LakeSettings(store_url="memory://"))
    await lake.store.put(layout.STORE, b"")
    machine.let_pass(301)
    await lake.clock.fresh()
    machine.let_pass(3601)
    with pytest.raises(StoreUnavailable):
        await lake.clock.fresh()


async def test_a_message_that_is_not_done_in_time_gets_more_time() -> None:
    """Each try starts from the beginning, so the same time limit would never be enough."""
    workers = Workers()

    async def submit(jobs: list[ImageJob]) -> list[Answer]:
        await asyncio.sleep(0.25)
        return await Workers.submit(workers, jobs)

    workers.submit = submit  # type: ignore[method-assign]
    desk = Desk(workers, workers.note, submit_seconds=0.1)
    await desk.delivery.deliver([await desk.take(n) for n in range(2)])
    assert desk.outcomes == {"created": 2}
