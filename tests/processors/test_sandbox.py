import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import uvloop
from PIL import Image

from processors import nursery
from processors.decoder import Decoder
from processors.errors import (
    DecoderCrashed,
    DecoderMemory,
    DecoderTimeout,
    NotAnImage,
    Overloaded,
    Refused,
    TooManyBytes,
    TooManyPixels,
)
from processors.job import Processed
from processors.pipeline import process
from processors.preset import ARCHIVE, WEB
from processors.sandbox import Sandbox
from processors.settings import Limits, ProcessorSettings
from tests.photos import FORMAT_NAMES, encoded, jpeg, photograph, photographs, scene
from tests.processors import hostile

Start = Callable[..., Awaitable[Sandbox]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts sandboxes that are closed at the end of the test."""
    opened: list[Sandbox] = []

    async def starting(**settings: float) -> Sandbox:
        chosen: dict[str, object] = {"sandbox_children": 1, **settings}
        opened.append(await Sandbox.start(ProcessorSettings.model_validate(chosen)))
        return opened[-1]

    yield starting
    for each in opened:
        await each.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - processes and /proc set no events
            await asyncio.sleep(0.01)


def fork_server(sandbox: Sandbox) -> int:
    assert sandbox._nursery.pid is not None
    return sandbox._nursery.pid


def essence(processed: Processed) -> object:
    return processed.facts, processed.measures, processed.renditions


async def test_the_sandbox_finds_what_the_library_finds(start: Start) -> None:
    sandbox = await start(sandbox_children=2)
    files = [path.read_bytes() for path in photographs()]
    files += [encoded(scene(width=200, height=125), name) for name in FORMAT_NAMES]
    files.append(encoded(scene(width=200, height=125).convert("CMYK"), "jpeg"))
    results = await asyncio.gather(*(sandbox.process(data, WEB) for data in files))
    for data, result in zip(files, results, strict=True):
        assert essence(result) == essence(process(data, WEB, Limits()))
        assert result.process_ms > 0


async def test_children_leave_the_cores_to_those_that_answer(start: Start) -> None:
    sandbox = await start()
    [child] = sandbox.pids
    assert psutil.Process(child).nice() > psutil.Process().nice()


async def test_arrays_are_taken_as_they_come_from_ray(start: Start) -> None:
    sandbox = await start()
    array = np.frombuffer(jpeg(), np.uint8)
    array.setflags(write=False)
    assert (await sandbox.process(array, ARCHIVE)).facts.width == 640


async def test_refusals_carry_code_limit_and_value(start: Start) -> None:
    sandbox = await start(max_bytes=200_000, max_pixels=500_000)
    with pytest.raises(TooManyPixels) as pixels:
        await sandbox.process(jpeg(1000, 600), WEB)
    assert (pixels.value.limit, pixels.value.value) == (500_000, 600_000)
    with pytest.raises(TooManyBytes) as size:
        await sandbox.process(bytes(200_001), WEB)
    assert (size.value.limit, size.value.value) == (200_000, 200_001)
    with pytest.raises(NotAnImage):
        await sandbox.process(b"hello", WEB)
    for data, code in (
        (hostile.giant_claim(), "truncated"),
        (hostile.png(4, 4, rows=b"nonsense"), "undecodable"),
        (jpeg()[:-5000], "truncated"),
    ):
        with pytest.raises(Refused) as refused:
            await sandbox.process(data, WEB)
        assert refused.value.code == code
    pid = sandbox.pids
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640
    assert sandbox.pids == pid, "a refusal costs no child"


async def test_a_jpeg_with_its_middle_missing_is_truncated(start: Start) -> None:
    # libjpeg decodes it, half of it grey, and says so on standard error alone.
    sandbox = await start()
    data = jpeg()
    with pytest.raises(Refused) as refused:
        await sandbox.process(data[: len(data) // 2] + b"\xff\xd9", WEB)
    assert refused.value.code == "truncated"
    assert (await sandbox.process(data, WEB)).facts.width == 640


async def test_a_child_whose_decoder_warned_is_replaced(start: Start) -> None:
    # Who leads a decoder astray may have taken it over; the next image belongs to somebody else.
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


async def test_an_image_whose_child_is_killed_each_time_is_refused(
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
        with pytest.raises(DecoderCrashed):
            await sandbox.process(jpeg(), WEB)
    assert len(victims) == 3
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640


async def test_a_crash_costs_its_image_and_no_other(start: Start) -> None:
    sandbox = await start(sandbox_children=2)
    victim = sandbox.pids[0]
    os.kill(victim, signal.SIGSTOP)
    running = [asyncio.create_task(sandbox.process(jpeg(), WEB)) for _ in range(20)]
    await until(lambda: sum(each.done() for each in running) == 19)
    os.kill(victim, signal.SIGSEGV)
    os.kill(victim, signal.SIGCONT)
    results = await asyncio.gather(*running, return_exceptions=True)
    crashed = [each for each in results if isinstance(each, DecoderCrashed)]
    assert [each.value for each in crashed] == ["SIGSEGV"]
    assert sum(isinstance(each, Processed) for each in results) == 19
    await until(lambda: victim not in sandbox.pids)
    again = await asyncio.gather(*(sandbox.process(jpeg(), WEB) for _ in range(20)))
    assert len({essence(each) for each in again}) == 1


async def test_a_hang_ends_at_the_limit(start: Start) -> None:
    sandbox = await start(sandbox_timeout_seconds=1)
    victim = sandbox.pids[0]
    os.kill(victim, signal.SIGSTOP)
    with pytest.raises(DecoderTimeout) as refused:
        await sandbox.process(jpeg(), WEB)
    assert refused.value.limit == 1
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640
    assert not psutil.pid_exists(victim)


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


async def test_a_caller_that_leaves_does_not_get_the_next_one_its_answer(start: Start) -> None:
    sandbox = await start()
    os.kill(sandbox.pids[0], signal.SIGSTOP)
    first = asyncio.create_task(sandbox.process(photograph("rocket").read_bytes(), WEB))
    queued = asyncio.create_task(sandbox.process(photograph("moon").read_bytes(), WEB))
    await until(lambda: sandbox.load == 2)
    first.cancel()
    queued.cancel()
    await asyncio.gather(first, queued, return_exceptions=True)
    second = asyncio.create_task(sandbox.process(jpeg(), WEB))
    await until(lambda: sandbox.load == 3)
    os.kill(sandbox.pids[0], signal.SIGCONT)
    assert essence(await second) == essence(process(jpeg(), WEB, Limits()))
    await until(lambda: sandbox.load == 0)


async def test_a_full_queue_says_so_at_once(start: Start) -> None:
    sandbox = await start(sandbox_queue=2)
    os.kill(sandbox.pids[0], signal.SIGSTOP)
    waiting = [asyncio.create_task(sandbox.process(jpeg(), WEB)) for _ in range(3)]
    await until(lambda: sandbox.load == 3)
    with pytest.raises(Overloaded) as refused:
        await sandbox.process(jpeg(), WEB)
    assert (refused.value.limit, refused.value.value) == (3, 3)
    os.kill(sandbox.pids[0], signal.SIGCONT)
    assert len(await asyncio.gather(*waiting)) == 3


async def test_closing_answers_everyone(start: Start) -> None:
    sandbox = await start()
    pids = sandbox.pids
    os.kill(pids[0], signal.SIGSTOP)
    waiting = [asyncio.create_task(sandbox.process(jpeg(), WEB)) for _ in range(3)]
    await until(lambda: sandbox.load == 3)
    await sandbox.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, Overloaded) for each in results)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with pytest.raises(Overloaded):
        await sandbox.process(jpeg(), WEB)


async def test_children_are_replaced_after_their_share(start: Start) -> None:
    sandbox = await start(sandbox_recycle_after=2)
    pids = set()
    for _ in range(5):
        assert (await sandbox.process(jpeg(), WEB)).facts.width == 640
        pids.update(sandbox.pids)
    assert len(pids) == 3


async def test_the_fork_server_is_replaced_when_it_dies(start: Start) -> None:
    sandbox = await start(sandbox_children=2)
    server, children = fork_server(sandbox), sandbox.pids
    os.kill(server, signal.SIGKILL)
    await until(lambda: not any(_alive(pid) for pid in children))
    results = await asyncio.gather(*(sandbox.process(jpeg(), WEB) for _ in range(4)))
    assert len(results) == 4
    assert fork_server(sandbox) != server


async def test_the_fork_server_is_replaced_when_it_is_worn(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nursery, "_CHILDREN_A_SERVER", 2)
    sandbox = await start(sandbox_recycle_after=1)
    servers = set()
    for _ in range(6):
        assert (await sandbox.process(jpeg(), WEB)).facts.width == 640
        servers.add(fork_server(sandbox))
    assert len(servers) == 3
    await sandbox.close()
    assert not any(psutil.pid_exists(pid) for pid in servers)


async def test_a_child_has_nothing_to_steal(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-inherit")
    sandbox = await start()
    said = sandbox.protections
    assert said["dies_with_parent"]
    assert "AWS" not in str(said["environment"])
    proc = Path("/proc") / str(sandbox.pids[0])
    status = (proc / "status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert "Threads:\t1\n" in status
    lines = (proc / "limits").read_text().splitlines()
    limits = {line[:25].strip(): line[26:46].strip() for line in lines}
    assert limits["Max open files"] == "0"
    assert limits["Max core file size"] == "0"
    assert limits["Max address space"] == str(said["address_space_bytes"])


_ORPHANS = """
import asyncio, time
from processors.sandbox import Sandbox
from processors.settings import ProcessorSettings

async def main():
    sandbox = await Sandbox.start(ProcessorSettings(sandbox_children=2))
    print(*sandbox.pids, sandbox._nursery.pid, flush=True)
    time.sleep(600)

asyncio.run(main())
"""


async def test_children_die_with_their_parent() -> None:
    command = [sys.executable, "-c", _ORPHANS]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:  # noqa: ASYNC220 - the point
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 3
        parent.kill()
    await until(lambda: not any(_alive(pid) for pid in pids))


def _alive(pid: int) -> bool:
    # Where nobody reaps orphans, the dead stay as zombies.
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_in_a_thread_and_on_another_event_loop(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """As in a Ray actor: not the main thread, and possibly uvloop."""
    results: list[Processed] = []

    async def work() -> None:
        sandbox = await Sandbox.start(ProcessorSettings(sandbox_children=1))
        results.append(await sandbox.process(jpeg(2000, 1300, quality=98), WEB))
        await sandbox.close()

    def run() -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(work())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert [each.facts.width for each in results] == [2000]
