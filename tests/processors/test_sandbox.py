import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import uvloop

from processors.errors import (
    DecoderCrashed,
    NotAnImage,
    Overloaded,
    Refused,
    TooManyBytes,
    TooManyPixels,
)
from processors.job import Processed
from processors.pipeline import process
from processors.preset import ARCHIVE, WEB
from processors.sandbox.fork_server_client import ForkServerOptions
from processors.sandbox.sandbox import Sandbox
from processors.settings import Limits, ProcessorSettings
from tests.photos import FORMAT_NAMES, encoded, jpeg, photograph, photographs, scene
from tests.processors import hostile
from tests.processors.sandboxes import Start, alive, essence, fork_server
from tests.waiting import until


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
        (jpeg()[:-5000], "truncated"),
        (hostile.png(4, 4, rows=b"nonsense"), "undecodable"),
        # This file is last, because no library warns of it; a warning makes the sandbox replace the
        # child.
        (hostile.giant_claim(), "truncated"),
    ):
        with pytest.raises(Refused) as refused:
            await sandbox.process(data, WEB)
        assert refused.value.code == code
    pid = sandbox.pids
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640
    assert sandbox.pids == pid, "a refusal costs no child"


async def test_a_jpeg_with_its_middle_missing_is_truncated(start: Start) -> None:
    # libjpeg decodes this file with half of it grey, and reports that only on standard error.
    sandbox = await start()
    data = jpeg()
    with pytest.raises(Refused) as refused:
        await sandbox.process(data[: len(data) // 2] + b"\xff\xd9", WEB)
    assert refused.value.code == "truncated"
    assert (await sandbox.process(data, WEB)).facts.width == 640


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


async def test_the_fork_server_is_replaced_when_it_is_worn(start: Start) -> None:
    options = ForkServerOptions(children=2, ahead_children=1)
    sandbox = await start(options, sandbox_recycle_after=1, sandbox_spares=0)
    servers = {fork_server(sandbox)}
    for done in range(1, 6):
        pids = sandbox.pids
        assert (await sandbox.process(jpeg(), WEB)).facts.width == 640
        await until(lambda pids=pids: sandbox.pids != pids)  # type: ignore[misc]
        servers.add(fork_server(sandbox))
        assert len(servers) == done // 2 + 1
    await sandbox.close()
    assert not any(psutil.pid_exists(pid) for pid in servers)


async def test_the_fork_server_is_replaced_after_many_crashes(start: Start) -> None:
    sandbox = await start(ForkServerOptions(crashes=1), sandbox_spares=0)
    before, victim = fork_server(sandbox), sandbox.pids[0]
    os.kill(victim, signal.SIGSTOP)
    image = asyncio.create_task(sandbox.process(jpeg(), WEB))
    await until(lambda: sandbox.load == 1)
    os.kill(victim, signal.SIGSEGV)
    os.kill(victim, signal.SIGCONT)
    with pytest.raises(DecoderCrashed):
        await image
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640
    assert fork_server(sandbox) != before


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
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings

async def main():
    sandbox = await Sandbox.start(ProcessorSettings(sandbox_children=2))
    print(*sandbox.pids, sandbox.children.fork_client.pid, flush=True)
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
    await until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_in_a_thread_and_on_another_event_loop(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Sandbox outside the main thread, and on uvloop, as in a Ray actor."""
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
