"""What gate and sandbox cost an image: the same photograph in turn here and there.

Here: OpenCV's calls in this process, without the gate (`opencv_work`). There: `Sandbox.process`,
which checks the bytes, hands them to a child, and takes back its answer. OpenCV has one thread in
both; values are medians of rounds.
"""

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench import Bench
from benchmarks.figures import Report, Target
from benchmarks.opencv_work import flags_for, work
from benchmarks.photos import SMALL, TWELVE
from processors.pipeline import process
from processors.preset import THUMBNAIL
from processors.sandbox import Sandbox
from processors.settings import ProcessorSettings
from processors.warm_up import warm_up

# A round is a second or so; a quick run has one.
_ROUNDS_A_ROUND = 2
_CRASHES_A_ROUND = 3
# Images a turn: enough that one hiccup of the machine does not decide it.
_CASES = (
    (SMALL, 40, Target(25.0, 15.0, "%", less=True)),
    (TWELVE, 6, Target(12.0, 5.0, "%", less=True)),
)
_RECOVERY = Target(50.0, 20.0, "ms", less=True)


class Round(NamedTuple):
    """Milliseconds an image: OpenCV alone, the pipeline in this process, the sandbox."""

    alone: float
    pipeline: float
    boxed: float
    alone_cpu: float
    boxed_cpu: float


def run(bench: Bench) -> None:
    """Overhead of both sizes, and recovery; with a sandbox of one child."""
    with bench.service.frozen():
        asyncio.run(_run(bench.report, bench.rounds))


async def _run(report: Report, rounds: int) -> None:
    warm_up()  # OpenCV and memory set up as they are in a child
    # Processor time is read of one process: none is to take its place half-way.
    settings = ProcessorSettings(sandbox_children=1, sandbox_recycle_after=1_000_000)
    sandbox = await Sandbox.start(settings)
    try:
        for photo, count, target in _CASES:
            data, flags = photo.data, flags_for(photo.data)
            await _one_round(sandbox, data, flags, count)  # it warms up
            turns = range(rounds * _ROUNDS_A_ROUND)
            found = [await _one_round(sandbox, data, flags, count) for _ in turns]
            _tell(report, photo.name, found, target)
        await _recovery(report, sandbox, rounds)
    finally:
        await sandbox.close()


def _tell(report: Report, name: str, found: list[Round], target: Target) -> None:
    report.raw(f"opencv_call_{name}", [each.alone for each in found], "ms")
    report.raw(f"pipeline_call_{name}", [each.pipeline for each in found], "ms")
    report.raw(f"sandbox_call_{name}", [each.boxed for each in found], "ms")
    cpu = [(each.boxed_cpu / each.alone_cpu - 1) * 100 for each in found]
    report.raw(f"sandbox_cpu_over_opencv_call_{name}", cpu, "%")
    over = [(each.boxed / each.alone - 1) * 100 for each in found]
    report.judge(f"gate + sandbox over an in-process call, {name}", over, target)


async def _one_round(sandbox: Sandbox, data: bytes, flags: int, count: int) -> Round:
    """Median milliseconds and mean processor time of `count` images, each way."""
    limits = ProcessorSettings().limits

    async def alone() -> object:
        return work(data, flags)

    async def pipeline() -> object:
        return process(data, THUMBNAIL, limits)

    async def boxed() -> object:
        return await sandbox.process(data, THUMBNAIL)

    times, cpu = [], []
    for way in (alone, pipeline, boxed):
        before = _cpu_milliseconds(sandbox)
        times.append(statistics.median([await _milliseconds(way) for _ in range(count)]))
        cpu.append((_cpu_milliseconds(sandbox) - before) / count)
    return Round(times[0], times[1], times[2], cpu[0], cpu[2])


async def _recovery(report: Report, sandbox: Sandbox, rounds: int) -> None:
    """From the crash of a busy child until another one has answered its image.

    The child had seen images before, so its crash is not taken for the image's fault.
    """
    data, taken = SMALL.data, []
    for _ in range(rounds * _CRASHES_A_ROUND):
        victim = sandbox.pids[0]
        os.kill(victim, signal.SIGSTOP)
        image = asyncio.create_task(sandbox.process(data, THUMBNAIL))
        await asyncio.sleep(0.01)
        begun = time.perf_counter()
        os.kill(victim, signal.SIGSEGV)
        os.kill(victim, signal.SIGCONT)  # to act on it
        await image
        taken.append((time.perf_counter() - begun) * 1000)
    report.judge("child back after a crash", taken, _RECOVERY)


async def _milliseconds(way: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await way()
    return (time.perf_counter() - begun) * 1000


def _cpu_milliseconds(sandbox: Sandbox) -> float:
    """Of this process and the child, since they began."""
    child = Path(f"/proc/{sandbox.pids[0]}/schedstat").read_text().split()[0]
    return time.process_time() * 1000 + int(child) / 1e6
