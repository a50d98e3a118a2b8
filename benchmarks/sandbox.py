"""`python -m benchmarks.sandbox`: what the sandbox costs, as JSON lines.

{"name", "value", "unit", "must", "aim", "ok"}: `must` is what we promise, `aim` what we want.
The sandbox and a call in this process take turns at the same photograph, OpenCV with one thread in
both; values are medians of rounds. Exits 1 where `must` is missed.
"""

import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from processors.errors import DecoderCrashed
from processors.operations import Fit
from processors.pipeline import process
from processors.preset import Preset, RenditionSpec
from processors.sandbox import Sandbox
from processors.settings import ProcessorSettings
from processors.warm_up import warm_up
from tests.photos import jpeg

_ROUNDS = 9
_CRASHES = 15
_POLL_SECONDS = 0.0005
# Images a turn: enough that one hiccup of the machine does not decide it.
_SMALL_TURN, _LARGE_TURN = 40, 6
_SMALL_BYTES = 74_000
_THUMBNAIL = Preset(
    name="thumbnail",
    version=1,
    renditions=(RenditionSpec(name="small", operations=(Fit(width=320),), format="jpeg"),),
)


class Round(NamedTuple):
    """Milliseconds an image."""

    alone: float
    boxed: float
    alone_cpu: float
    boxed_cpu: float


def report(name: str, value: float, unit: str, *, must: float, aim: float) -> bool:
    """Print one line; less is better."""
    ok = value <= must
    line = {"name": name, "value": round(value, 2), "unit": unit, "must": must, "aim": aim}
    print(json.dumps({**line, "ok": ok}), flush=True)
    return ok


@cache
def small_photo() -> bytes:
    """640 x 400, as near to 74 KB as a JPEG quality brings it."""
    made = (jpeg(640, 400, quality=quality) for quality in range(80, 100))
    return min(made, key=lambda data: abs(len(data) - _SMALL_BYTES))


@cache
def large_photo() -> bytes:
    """12 megapixels, 3 MB."""
    return jpeg(4000, 3000, quality=98)


_CASES = (
    ("74kb", small_photo, _SMALL_TURN, 25.0, 15.0),
    ("12mp", large_photo, _LARGE_TURN, 12.0, 5.0),
)


async def milliseconds(work: Callable[[], Awaitable[object]]) -> float:
    """Of one call."""
    begun = time.perf_counter()
    await work()
    return (time.perf_counter() - begun) * 1000


def cpu_milliseconds(sandbox: Sandbox) -> float:
    """Of this process and the child, since they began."""
    child = Path(f"/proc/{sandbox.pids[0]}/schedstat").read_text().split()[0]
    return time.process_time() * 1000 + int(child) / 1e6


async def bench_overhead(sandbox: Sandbox) -> bool:
    """How much longer than a call in this process an image takes."""
    good = True
    for name, data, count, must, aim in _CASES:
        rounds = [await one_round(sandbox, data(), count) for _ in range(_ROUNDS + 1)]
        del rounds[0]  # it warms up
        over = [(each.boxed / each.alone - 1) * 100 for each in rounds]
        cpu = [(each.boxed_cpu / each.alone_cpu - 1) * 100 for each in rounds]
        line = {
            "name": f"sandbox_times_{name}",
            "bytes": len(data()),
            "in_process_ms": round(statistics.median(each.alone for each in rounds), 3),
            "sandbox_ms": round(statistics.median(each.boxed for each in rounds), 3),
            "cpu_over_in_process_percent": round(statistics.median(cpu), 1),
        }
        print(json.dumps(line), flush=True)
        median = statistics.median(over)
        good &= report(f"sandbox_over_in_process_{name}", median, "%", must=must, aim=aim)
    return good


async def one_round(sandbox: Sandbox, data: bytes, count: int) -> Round:
    """Median milliseconds and mean processor time of `count` images here, then there."""
    limits = ProcessorSettings().limits

    async def inside() -> object:
        return process(data, _THUMBNAIL, limits)

    async def outside() -> object:
        return await sandbox.process(data, _THUMBNAIL)

    times: tuple[list[float], list[float]] = ([], [])
    cpu = [0.0, 0.0]
    for which, work in enumerate((inside, outside)):
        before = cpu_milliseconds(sandbox)
        times[which].extend([await milliseconds(work) for _ in range(count)])
        cpu[which] += cpu_milliseconds(sandbox) - before
    return Round(*map(statistics.median, times), *(each / count for each in cpu))


async def bench_recovery(sandbox: Sandbox) -> bool:
    """From the kill of a busy child until another stands in its place."""
    data = small_photo()
    taken = []
    for _ in range(_CRASHES):
        victim = sandbox.pids[0]
        os.kill(victim, signal.SIGSTOP)
        image = asyncio.create_task(sandbox.process(data, _THUMBNAIL))
        await asyncio.sleep(0.01)
        begun = time.perf_counter()
        os.kill(victim, signal.SIGKILL)
        try:
            await image
        except DecoderCrashed:
            while sandbox.pids[0] == victim:  # noqa: ASYNC110 - processes set no events
                await asyncio.sleep(_POLL_SECONDS)
        taken.append((time.perf_counter() - begun) * 1000)
    return report("child_back_after_a_crash", statistics.median(taken), "ms", must=50, aim=20)


async def main() -> bool:
    """Both, with a sandbox of one child."""
    warm_up()  # OpenCV and memory set up as they are in a child
    sandbox = await Sandbox.start(ProcessorSettings(sandbox_children=1))
    try:
        return all([await bench_overhead(sandbox), await bench_recovery(sandbox)])
    finally:
        await sandbox.close()


if __name__ == "__main__":
    sys.exit(not asyncio.run(main()))
