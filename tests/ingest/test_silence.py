"""Partitions from which nothing arrives although messages are there, on a real broker."""

import threading
from collections.abc import Collection, Mapping

import pytest

from ingest.errors import StreamNotReady
from ingest.group_client import Connect
from ingest.kafka import GroupConsumer
from ingest.kafka_clients import KafkaClients
from ingest.offsets import Listener, Partition
from ingest.settings import IngestSettings
from ingest.silence import LOOKS, SilenceWatch
from ingest.stream import Stream
from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, running
from tests.waiting import until

A, B = Partition("images", 0), Partition("images", 1)
LIMIT = 60.0


class Deaf(GroupConsumer):
    """Member whose client fetches nothing of partition 1 until it is replaced twice."""

    is_deaf = threading.Event()

    def __init__(self, settings: IngestSettings, listener: Listener) -> None:
        super().__init__(settings, listener)
        self.deaf, self.renewals = Partition(settings.kafka_topic, 1), 0
        self.is_deaf.clear()

    def pause(self, wanted: frozenset[Partition]) -> None:
        # Only a partition that is assigned can be paused.
        deaf = self.state.member and self.renewals < 2
        super().pause(wanted | {self.deaf} if deaf else wanted)
        if deaf:
            self.is_deaf.set()

    def renew(self) -> None:
        self.renewals += 1
        super().renew()


class Unsure(GroupConsumer):
    """Member that gets no answer about its topic for some time, though it is in its group."""

    answers = threading.Event()

    def topic_id(self, topic: str) -> str | None:
        return super().topic_id(topic) if self.answers.is_set() else None


class Leaderless(GroupConsumer):
    """Member for whose partition 1 no broker answers, as long as it has no leader."""

    leads = threading.Event()

    def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        found = super().end_offsets(partitions)
        return found if self.leads.is_set() else {p: at for p, at in found.items() if p.number != 1}


class ClientsOf(KafkaClients):
    """Clients of a consumer whose member is of another class."""

    def __init__(self, settings: IngestSettings, member: Connect) -> None:
        super().__init__(settings)
        self.settings, self.member = settings, member

    async def connect(self) -> Stream:
        return await self.call(Stream, self.settings, self.member)


async def test_a_deaf_client_is_named_and_replaced(
    wide_stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    settings, workers = wide_stage.settings(kafka_stall_seconds=0.5), Workers()
    name = f"{wide_stage.topic}/1"
    async with running(settings, workers.submit, clients=ClientsOf(settings, Deaf)) as consumer:
        # A client that is not deaf yet would read the messages.
        await until(Deaf.is_deaf.is_set)
        for partition in range(4):
            await wide_stage.send_values([b"a", b"b"], partition)
        await until(lambda: f"nothing of {name}" in str(consumer.status().fault), "not ready")
        with pytest.raises(
            StreamNotReady, match=f"^partition_silent: .*{name}, read up to 0, ends"
        ):
            await consumer.ready()
        for partition in range(4):
            await wide_stage.until_committed(2, partition)
        await until(lambda: consumer.status().ready, "ready")
    told = [r for r in caplog.records if r.getMessage().startswith("partitions deliver nothing")]
    assert sum(name in str(record.__dict__["partitions"]) for record in told) >= 2
    assert {record.levelname for record in told} == {"WARNING"}


async def test_messages_that_wait_for_their_topics_id_are_told(stage: Stage) -> None:
    settings, workers = stage.settings(kafka_stall_seconds=0.3), Workers()
    await stage.send_values([b"a"])
    async with running(settings, workers.submit, clients=ClientsOf(settings, Unsure)) as consumer:
        await until(lambda: "has not confirmed the id" in str(consumer.status().fault))
        with pytest.raises(StreamNotReady, match=r"^kafka_unavailable: the cluster has not conf"):
            await consumer.ready()
        assert workers.jobs == []
        Unsure.answers.set()
        await stage.until_committed(1)
        await until(lambda: consumer.status().ready, "ready")


async def test_a_partition_without_a_leader_is_told(wide_stage: Stage) -> None:
    settings, workers = wide_stage.settings(kafka_stall_seconds=0.3), Workers()
    clients = ClientsOf(settings, Leaderless)
    async with running(settings, workers.submit, clients=clients) as consumer:
        told = f"no broker has answered for {wide_stage.topic}/1 for"
        await until(lambda: told in str(consumer.status().fault), "not ready")
        with pytest.raises(StreamNotReady, match=f"^partition_unavailable: {told}"):
            await consumer.ready()
        await wide_stage.send_values([b"a"], 0)
        await wide_stage.until_committed(1, 0)
        Leaderless.leads.set()
        await until(lambda: consumer.status().ready, "ready")


def looks(watch: SilenceWatch, first: int, last: int, at: int, end: int | None) -> bool:
    """Look in every turn, numbered; True if partition A was found to be silent."""
    found = []
    for turn in range(first, last + 1):
        now = turn * LIMIT / LOOKS
        found += watch.look(now, {A: at}, {} if end is None else {A: end})
    return bool(found)


def test_a_partition_is_silent_after_the_limit() -> None:
    watch = SilenceWatch(LIMIT)
    assert not looks(watch, 0, LOOKS - 1, at=5, end=9)
    assert looks(watch, LOOKS, LOOKS, at=5, end=9)
    assert "images/0, read up to 5, ends at 9" in str(watch.fault)
    # A cluster that does not answer ends no silence; a message does.
    assert not looks(watch, LOOKS + 1, LOOKS + 9, at=5, end=None)
    assert watch.fault
    watch.moved({A: 6})
    assert watch.fault is None


@pytest.mark.parametrize(("at", "end"), [(9, 9), (5, None)])
def test_nothing_to_read_is_no_silence(at: int, end: int | None) -> None:
    """An open transaction keeps the end where it is; a cluster may be away."""
    assert not looks(SilenceWatch(LIMIT), 0, 3 * LOOKS, at, end)


def test_a_partition_without_an_answer_is_unavailable_after_the_limit() -> None:
    watch = SilenceWatch(LIMIT)
    assert not looks(watch, 0, LOOKS - 1, at=5, end=None)
    assert watch.fault is None
    assert not looks(watch, LOOKS, LOOKS, at=5, end=None)
    assert watch.fault
    assert (watch.fault.code, watch.fault.value) == ("partition_unavailable", 1)
    assert not looks(watch, LOOKS + 1, LOOKS + 1, at=5, end=5)
    assert watch.fault is None


def test_unread_messages_are_counted_up_to_the_ends_that_the_cluster_told() -> None:
    watch = SilenceWatch(LIMIT)
    assert watch.unread({A: 5}) == 0
    watch.look(0, {A: 5, B: 2}, {A: 9, B: 2})
    assert watch.unread({A: 5, B: 2}) == 4
    assert watch.unread({A: 8}) == 1
    assert watch.unread({A: 12}) == 0


def test_a_log_that_lost_its_end_is_read_anew() -> None:
    """The client would wait until the log is as long as before, and skip what is between."""
    watch = SilenceWatch(LIMIT)
    assert looks(watch, 0, LOOKS, at=9, end=5)
    assert "read up to 9, ends at 5" in str(watch.fault)
    assert not looks(watch, LOOKS + 1, LOOKS + 1, at=5, end=5)
    assert watch.fault is None


def test_a_partition_that_moves_or_is_paused_is_not_silent() -> None:
    watch = SilenceWatch(LIMIT)
    for turn in range(3 * LOOKS):
        assert not looks(watch, turn, turn, at=turn // (LOOKS - 1), end=99)
    watch = SilenceWatch(LIMIT)
    for turn in range(3 * LOOKS):
        assert not looks(watch, turn, turn, at=5, end=99)
        watch.paused([A, B])


def test_new_clients_that_get_nothing_either_have_more_time() -> None:
    watch = SilenceWatch(LIMIT)
    silent = [turn for turn in range(10 * LOOKS) if looks(watch, turn, turn, at=5, end=9)]
    assert [turn // LOOKS for turn in silent] == [1, 3, 7]


def test_a_partition_of_another_member_is_its_business() -> None:
    watch = SilenceWatch(LIMIT)
    assert looks(watch, 0, LOOKS, at=5, end=9)
    watch.look(99 * LIMIT, {B: 1}, {B: 1})
    assert watch.fault is None


def test_a_partition_without_an_answer_may_go_to_another_member() -> None:
    watch = SilenceWatch(LIMIT)
    looks(watch, 0, LOOKS, at=5, end=None)
    assert watch.fault
    watch.forget_all_but([])
    assert watch.fault is None
