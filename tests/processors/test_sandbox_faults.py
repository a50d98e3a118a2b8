"""Faults of a child cost at most the image in that child."""

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from datetime import datetime

import numpy as np
import psutil
import pytest
from PIL import Image

from ingest.errors import verdict
from lake.errors import CodedError
from lake.lake import Commit, Lake
from lake.logs import bound
from lake.settings import LakeSettings
from processors.errors import (
    DecoderCrashed,
    DecoderMemory,
    DecoderTimeout,
    Overloaded,
    Refused,
)
from processors.job import ImageJob, Processed, by_key
from processors.preset import WEB
from processors.sandbox.conversation import Conversation
from processors.sandbox.decoder import Decoder
from processors.settings import ProcessorSettings
from processors.worker import Worker
from tests.photos import encoded, jpeg, scene
from tests.processors.sandboxes import Start, alive, essence, fork_server
from tests.waiting import until


async def test_a_child_whose_decoder_warned_is_replaced(start: Start) -> None:
    # An image that makes a decoder warn may have taken the child over; the next image may belong to
    # another sender.
    sandbox = await start()
    first = sandbox.pids
    data = jpeg()
    with pytest.raises(Refused):
        await sandbox.process(data[: len(data) // 2] + b"\xff\xd9", WEB)
    await until(lambda: sandbox.pids != first)
    assert (await sandbox.process(data, WEB)).facts.width == 640
    assert not psutil.pid_exists(first[0])


async def test_a_child_that_is_killed_from_outside_costs_no_image(start: Start) -> None:
    sandbox = await start(sandbox_children=2)
    victim = sandbox.pids[0]
    os.kill(victim, signal.SIGSTOP)
    running = [asyncio.create_task(sandbox.process(jpeg(), WEB)) for _ in range(20)]
    await until(lambda: sum(each.done() for each in running) == 19)
    os.kill(victim, signal.SIGKILL)
    results = await asyncio.gather(*running)
    assert len({essence(each) for each in results}) == 1
    assert victim not in sandbox.pids


async def test_an_image_whose_child_is_killed_each_time_may_come_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = await start()
    victims = set()

    async def killed(self: Decoder, *_: object) -> Processed:
        victims.add(self.pid)
        await self.stop()
        raise DecoderCrashed("the decoder died on this image: SIGKILL", value="SIGKILL")

    with monkeypatch.context() as patched:
        patched.setattr(Decoder, "process", killed)
        with pytest.raises(Overloaded, match="killed 3 times"):
            await sandbox.process(jpeg(), WEB)
    assert len(victims) == 3
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640


async def test_an_image_whose_used_children_are_killed_is_not_tried_for_ever(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry limit where every try gets a used child: there are as many such children as tries."""
    sandbox = await start(sandbox_children=3)
    while not all(each.served for each in sandbox.children.seated):
        await asyncio.gather(*(sandbox.process(jpeg(), WEB) for _ in range(3)))
    victims = set()

    async def killed(self: Decoder, *_: object) -> Processed:
        victims.add(self.pid)
        assert len(victims) < 10, "it is tried for ever"
        await self.stop()
        raise DecoderCrashed("the decoder died on this image: SIGKILL", value="SIGKILL")

    with monkeypatch.context() as patched:
        patched.setattr(Decoder, "process", killed)
        with pytest.raises(Overloaded):
            await sandbox.process(jpeg(), WEB)
    assert len(victims) == 3
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640


async def test_a_crash_costs_its_image_and_no_other(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async def process(number: int) -> Processed:
        with bound(image_id=number):
            return await sandbox.process(jpeg(), WEB)

    sandbox = await start(sandbox_children=2)
    victim = sandbox.pids[0]
    os.kill(victim, signal.SIGSTOP)
    running = [asyncio.create_task(process(number)) for number in range(20)]
    await until(lambda: sum(each.done() for each in running) == 19)
    os.kill(victim, signal.SIGSEGV)
    os.kill(victim, signal.SIGCONT)
    results = await asyncio.gather(*running, return_exceptions=True)
    crashed = {n: each for n, each in enumerate(results) if isinstance(each, DecoderCrashed)}
    assert [each.value for each in crashed.values()] == ["SIGSEGV"]
    died = [vars(each) for each in caplog.records if each.message == "decoder died"]
    assert [each["image_id"] for each in died] == list(crashed), "the log names the image"
    assert sum(isinstance(each, Processed) for each in results) == 19
    await until(lambda: victim not in sandbox.pids)
    again = await asyncio.gather(*(sandbox.process(jpeg(), WEB) for _ in range(20)))
    assert len({essence(each) for each in again}) == 1


async def test_what_gets_no_processor_may_come_again(start: Start) -> None:
    sandbox = await start(sandbox_wall_seconds=1)
    victim = sandbox.pids[0]
    os.kill(victim, signal.SIGSTOP)
    with pytest.raises(Overloaded) as put_off:
        await sandbox.process(jpeg(), WEB)
    assert put_off.value.limit == 1
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640
    assert not psutil.pid_exists(victim)


async def test_a_child_whose_answer_is_not_read_does_not_sleep(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Child that waits for its parent, as on a busy machine: the image may be tried again."""
    sandbox = await start(sandbox_wall_seconds=1)

    async def never(_: Conversation) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(Conversation, "receive_header", never)
        with pytest.raises(Overloaded):
            await sandbox.process(jpeg(), WEB)


async def test_of_a_batch_it_is_tried_again(start: Start) -> None:
    """Image of a Kafka batch without processor time: a temporary fault, and no dead letter."""
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    worker = Worker(lake, await start(sandbox_wall_seconds=1), ProcessorSettings())
    job = ImageJob(
        tenant="acme",
        source="kafka",
        identity=by_key("one"),
        data=np.frombuffer(jpeg(), np.uint8),
        preset=WEB,
        received_at=datetime.now().astimezone(),
    )
    os.kill(worker.sandbox.pids[0], signal.SIGSTOP)
    put_off = await worker.handle_many([job])
    done = await worker.handle_many([job])
    assert isinstance(put_off[0], CodedError)
    assert verdict(put_off[0]) == "retry"
    assert isinstance(done[0], Commit)


async def test_what_takes_too_much_processor_time_is_refused(start: Start) -> None:
    sandbox = await start(sandbox_timeout_seconds=0.05)
    victim = sandbox.pids[0]
    large = encoded(scene(width=4000, height=3000), "png")
    with pytest.raises(DecoderTimeout) as refused:
        await sandbox.process(large, WEB)
    assert refused.value.limit == 0.05
    await until(lambda: not psutil.pid_exists(victim))


async def test_the_kernel_ends_a_child_that_its_parent_does_not_look_at(start: Start) -> None:
    sandbox = await start(sandbox_timeout_seconds=100)
    await sandbox.process(jpeg(), WEB)
    soft, _ = resource.prlimit(sandbox.pids[0], resource.RLIMIT_CPU)
    assert 100 < soft < 110


@contextlib.asynccontextmanager
async def throttled(pid: int, *, running: float, stopped: float) -> AsyncIterator[None]:
    """Let a process run for only a part of the time, as on an overloaded machine."""

    async def duty() -> None:
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(stopped)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(running)

    cycle = asyncio.create_task(duty())
    yield
    cycle.cancel()
    with contextlib.suppress(asyncio.CancelledError, ProcessLookupError):
        await cycle
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


async def test_a_busy_machine_refuses_no_photo(start: Start) -> None:
    """Photo with a thirtieth of a processor: by the clock it takes about three times its limit."""
    sandbox = await start(sandbox_timeout_seconds=1)
    photo = encoded(scene(width=1600, height=1200), "png")
    async with throttled(sandbox.pids[0], running=0.005, stopped=0.145):
        made = await sandbox.process(photo, WEB)
    assert made.facts.width == 1600


async def test_hunger_is_refused_and_the_next_image_is_served(start: Start) -> None:
    limit = 600_000_000
    sandbox = await start(sandbox_memory_bytes=limit)
    large = Image.new("RGBA", (7000, 7000))
    with pytest.raises(DecoderMemory) as refused:
        await sandbox.process(encoded(large, "png"), WEB)
    assert refused.value.limit == limit
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640


async def test_a_child_that_died_idle_costs_nothing(start: Start) -> None:
    sandbox = await start(sandbox_children=2)
    victim = sandbox.pids[0]
    os.kill(victim, signal.SIGKILL)
    await until(lambda: psutil.Process(victim).status() == psutil.STATUS_ZOMBIE)
    results = await asyncio.gather(*(sandbox.process(jpeg(), WEB) for _ in range(6)))
    assert len(results) == 6
    assert victim not in sandbox.pids


async def test_where_no_child_starts_nobody_waits(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = await start()
    victim = sandbox.pids[0]
    os.kill(victim, signal.SIGSTOP)
    waiting = [asyncio.create_task(sandbox.process(jpeg(), WEB)) for _ in range(3)]
    await until(lambda: sandbox.load == 3)
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    os.kill(fork_server(sandbox), signal.SIGKILL)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in results] == [Overloaded, Overloaded, Overloaded]
    assert not sandbox.ready
    with pytest.raises(Overloaded):
        await sandbox.process(jpeg(), WEB)
    monkeypatch.undo()
    await until(lambda: sandbox.ready)
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640


async def test_the_fork_server_is_replaced_when_it_dies(start: Start) -> None:
    sandbox = await start(sandbox_children=2)
    server, children = fork_server(sandbox), sandbox.pids
    os.kill(server, signal.SIGKILL)
    await until(lambda: not any(alive(pid) for pid in children))
    results = await asyncio.gather(*(sandbox.process(jpeg(), WEB) for _ in range(4)))
    assert len(results) == 4
    assert fork_server(sandbox) != server
