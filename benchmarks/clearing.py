"""Compare ways to clear a child's memory between images, so that no image reads another's bytes.

`python -m benchmarks.clearing [FILE ...]`, FILE being a name of `_files`. The first table has the
processor time of an image in all processes, as a ratio to a child that is reused and never cleared.
The second table compares the sandbox with one tenant and with fifty. Each figure is the minimum of
some rounds, in which the ways alternate; docs/decisions/0012 has the figures.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import psutil

from benchmarks.photos import SMALL, TWELVE
from processors import malloc_tuning
from processors.codecs.formats import check_bytes
from processors.preset import WEB
from processors.sandbox import cleared_memory, fork_server
from processors.sandbox.decoder import Decoder
from processors.sandbox.fork_server_client import (
    ForkServerClient,
    ForkServerOptions,
    environment_of,
)
from processors.sandbox.sandbox import Sandbox
from processors.sandbox.usage import cpu_seconds
from processors.settings import Limits, ProcessorSettings

_ROUNDS = 4
# Pairs: number of tenants, number of idle children that are kept for them.
_TENANTS = ((1, 0), (50, 0), (50, 50))
_CHILDREN = 2
_MAPPED = "PIXLAKE_BENCH_MAPPED_FROM"
_PERTURB_ALONE = {"GLIBC_TUNABLES": "glibc.malloc.perturb=255"}
SETTINGS = ProcessorSettings(sandbox_children=_CHILDREN)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to clear memory; a child processes `images` images, None: no limit."""

    name: str
    environment: Mapping[str, str]
    images: int | None = None


class Turn(NamedTuple):
    """Seconds per image."""

    processor: float
    wall: float


WAYS = (
    Way("not cleared", {}),
    Way("glibc clears, caches on", _PERTURB_ALONE),
    Way("glibc clears, caches off", cleared_memory.ENVIRONMENT),
    Way("blocks from 128 KB on mapped", {_MAPPED: str(128 << 10)}),
    Way("a child an image", {}, images=1),
    Way("a child an image, glibc clears, caches off", cleared_memory.ENVIRONMENT, images=1),
)


def main() -> None:
    """Print a table of ratios."""
    if _MAPPED in os.environ:
        malloc_tuning.REUSED_BYTES = int(os.environ[_MAPPED])
    if "PYTHONMALLOC" not in os.environ:
        fork_server.clear_memory = lambda: None  # type: ignore[attr-defined]
    if sys.argv[1:2] and sys.argv[1].isdigit():
        fork_server.main()
    else:
        asyncio.run(_compare())


async def _compare() -> None:
    chosen = [each for each in _files() if not sys.argv[1:] or each[0] in sys.argv[1:]]
    print("| file | " + " | ".join(way.name for way in WAYS) + " |")
    for name, data, count in chosen:
        costs: dict[str, list[float]] = {way.name: [] for way in WAYS}
        for _ in range(_ROUNDS):
            for way in WAYS:
                costs[way.name].append(await _cost(way, data, count))
        least = {name: min(each) for name, each in costs.items()}
        base = least[WAYS[0].name]
        ratios = [f"{each / base:.2f}" for each in least.values()]
        print(f"| {name} | {base * 1000:.1f} ms = {' | '.join(ratios)} |", flush=True)
    print("\n| file | tenants, children kept for them | processor | wall clock |")
    for name, data, count in chosen:
        await _compare_tenants(name, data, count)


async def _compare_tenants(name: str, data: bytes, count: int) -> None:
    turns: dict[tuple[int, int], list[Turn]] = {way: [] for way in _TENANTS}
    for _ in range(_ROUNDS):
        for tenants, kept in _TENANTS:
            turns[tenants, kept].append(await _sandboxed(data, tenants, kept, count))
    alone = turns[_TENANTS[0]]
    for way, rounds in turns.items():
        processor = min(each.processor for each in rounds) / min(each.processor for each in alone)
        wall = min(each.wall for each in rounds) / min(each.wall for each in alone)
        print(f"| {name} | {way} | {processor:.2f} | {wall:.2f} |", flush=True)


def _files() -> Iterator[tuple[str, bytes, int]]:
    """Yield name, bytes, and number of images per turn of each test image."""
    for photo, count in ((SMALL, 60), (TWELVE, 6)):
        yield f"jpeg-{photo.name}", photo.data, count
        pixels = cv2.imdecode(np.frombuffer(photo.data, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        done, png = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        assert done
        yield f"png-{photo.name}", png.tobytes(), max(2, count // 3)


async def _cost(way: Way, data: bytes, count: int) -> float:
    """Measure the seconds of processor time per image."""
    view = memoryview(data)
    image_format = check_bytes(view, SETTINGS.limits)
    async with _fork_client(way) as server:
        decoder = await Decoder.start(SETTINGS, server)
        await decoder.process(view, WEB, image_format)  # warms up decoder and server
        spent = _spent(server) + cpu_seconds(decoder.pid)
        for _ in range(count):
            if way.images and decoder.served >= way.images:
                await decoder.stop()
                decoder = await Decoder.start(SETTINGS, server)
            await decoder.process(view, WEB, image_format)
            if way.environment is cleared_memory.ENVIRONMENT and way.images is None:
                await decoder.tidy()
        spent = _spent(server) + cpu_seconds(decoder.pid) - spent
        await decoder.stop()
    return spent / count


async def _sandboxed(data: bytes, tenants: int, kept: int, count: int) -> Turn:
    """Measure processor and wall time of a turn in a sandbox; the images alternate tenants."""
    sandbox = await Sandbox.start(SETTINGS.model_copy(update={"sandbox_kept": kept}))
    for tenant in range(tenants):
        await sandbox.process(data, WEB, f"tenant {tenant}")
    begun, spent = time.perf_counter(), _total(sandbox)
    images = max(2 * count, tenants)
    waiting = list(range(images))

    async def client() -> None:
        while waiting:
            await sandbox.process(data, WEB, f"tenant {waiting.pop() % tenants}")

    await asyncio.gather(*(client() for _ in range(2 * _CHILDREN)))
    taken = time.perf_counter() - begun
    spent = _total(sandbox) - spent
    await sandbox.close()
    return Turn(spent / images, taken / images)


def _total(sandbox: Sandbox) -> float:
    """Processor time of this process, the fork server and the sandbox's children without spares."""
    children = sandbox.children
    living = [*children.seated, *children.kept]
    return _spent(children.fork_client) + sum(cpu_seconds(each.pid) for each in living)


def _spent(server: ForkServerClient) -> float:
    """Processor time of this process, the fork server, and children that have ended."""
    assert server.pid is not None
    times = psutil.Process(server.pid).cpu_times()
    reaped = times.children_user + times.children_system
    return time.process_time() + cpu_seconds(server.pid) + reaped


@asynccontextmanager
async def _fork_client(way: Way) -> AsyncIterator[ForkServerClient]:
    server = ForkServerClient(SETTINGS.limits, _options(way))
    yield server
    await server.close()


def _options(way: Way) -> ForkServerOptions:
    """Options for fork servers with the environment of this way."""
    own = dict.fromkeys(cleared_memory.ENVIRONMENT, "")

    def environment(limits: Limits) -> dict[str, str]:
        variables = {**environment_of(limits), **own, **way.environment}
        return {name: value for name, value in variables.items() if value}

    return ForkServerOptions(module="benchmarks.clearing", environment=environment)


if __name__ == "__main__":
    main()
