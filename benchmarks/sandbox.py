"""Overhead of byte checks and sandbox per image, compared with an in-process call.

The in-process call runs only OpenCV (`opencv_work`). `Sandbox.process` checks the bytes, sends them
to a child, and receives its answer. Both process the same photograph alternately, with one OpenCV
thread; values are medians of rounds.
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
from processors.sandbox.sandbox import Sandbox
from processors.sandbox.warm_up import warm_up
from processors.settings import ProcessorSettings

# Rounds of this benchmark per round of the run; a round takes about a second.
_ROUNDS_A_ROUND = 2
_CRASHES_A_ROUND = 3
# Photo, images per turn (enough that one interruption does not decide the result), and target.
_CASES = (
    (SMALL, 40, Target(25.0, 15.0, "%", less=True)),
    (TWELVE, 6, Target(12.0, 5.0, "%", less=True)),
)
_RECOVERY = Target(50.0, 20.0, "ms", less=True)


class Round(NamedTuple):
    """Milliseconds per image: OpenCV alone, the pipeline in this process, the sandbox."""

    alone: float
    pipeline: float
    boxed: float
    alone_cpu: float
    boxed_cpu: float


def run(bench: Bench) -> None:
    """Measure the overhead for both sizes, and the recovery, with a sandbox of one child."""
    with bench.service.frozen():
        asyncio.run(_run(bench.report, bench.rounds))


async def _run(report: Report, rounds: int) -> None:
    warm_up()  # sets up OpenCV and memory as in a child
    # Do not replace the child during a turn, because processor time is read from one process.
    settings = ProcessorSettings(sandbox_children=1, sandbox_recycle_after=1_000_000)
    sandbox = await Sandbox.start(settings)
    try:
        for photo, count, target in _CASES:
            data, flags = photo.data, flags_for(photo.data)
            await _one_round(sandbox, data, flags, count)  # a warm-up
            turns = range(rounds * _ROUNDS_A_ROUND)
            results = [await _one_round(sandbox, data, flags, count) for _ in turns]
            _tell(report, photo.name, results, target)
        await _recovery(report, sandbox, rounds)
    finally:
        await sandbox.close()


def _tell(report: Report, name: str, results: list[Round], target: Target) -> None:
    report.raw(f"opencv_call_{name}", [each.alone for each in results], "ms")
    report.raw(f"pipeline_call_{name}", [each.pipeline for each in results], "ms")
    report.raw(f"sandbox_call_{name}", [each.boxed for each in results], "ms")
    cpu = [(each.boxed_cpu / each.alone_cpu - 1) * 100 for each in results]
    report.raw(f"sandbox_cpu_over_opencv_call_{name}", cpu, "%")
    over = [(each.boxed / each.alone - 1) * 100 for each in results]
    report.judge(f"gate + sandbox over an in-process call, {name}", over, target)


async def _one_round(sandbox: Sandbox, data: bytes, flags: int, count: int) -> Round:
    """Measure median milliseconds and mean processor time of `count` images, each way."""
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
    """Measure the time from the crash of a busy child until another child has answered.

    The child has processed images before, so the sandbox does not blame the image for the crash.
    """
    data, taken = SMALL.data, []
    for _ in range(rounds * _CRASHES_A_ROUND):
        victim = sandbox.pids[0]
        os.kill(victim, signal.SIGSTOP)
        image = asyncio.create_task(sandbox.process(data, THUMBNAIL))
        await asyncio.sleep(0.01)
        begun = time.perf_counter()
        os.kill(victim, signal.SIGSEGV)
        os.kill(victim, signal.SIGCONT)  # a stopped process handles signals when it continues
        await image
        taken.append((time.perf_counter() - begun) * 1000)
    report.judge("child back after a crash", taken, _RECOVERY)


async def _milliseconds(way: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await way()
    return (time.perf_counter() - begun) * 1000


def _cpu_milliseconds(sandbox: Sandbox) -> float:
    """Processor time of this process and the child since their start, in milliseconds."""
    child = Path(f"/proc/{sandbox.pids[0]}/schedstat").read_text().split()[0]
    return time.process_time() * 1000 + int(child) / 1e6
