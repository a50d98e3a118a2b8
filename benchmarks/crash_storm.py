"""Throughput of the upload door while every 20th image kills its decoder.

The decoder gets SIGSEGV while it works on an image: what a crash of its own looks like to
everybody else. Its image is refused as `decoder_crashed`. SIGKILL would count as the machine's
doing, and the image be tried again.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path

from benchmarks import load
from benchmarks.bench import Bench
from benchmarks.figures import Target
from benchmarks.photos import SMALL
from benchmarks.service import Service

_TARGET = Target(0.7, 0.9)
_EVERY = 20
# Some hit a child that has just finished; no fewer than every 20th image shall be hit.
_MARGIN = 1.1
# A child may have died a moment ago, or be between two images.
_TRIES_A_KILL = 50
_TRY_SECONDS = 0.001


def run(bench: Bench) -> None:
    """Without kills and with them, in turn. Images that were refused do not count as done."""
    service = bench.service
    ratios, shares, storms = [], [], []
    for _ in range(bench.rounds):
        clean = load.post(service.upload_url, SMALL.path, bench.seconds, key=service.key).flawless()
        with _storm(service, _MARGIN * clean.rate / _EVERY):
            stormy = load.post(service.upload_url, SMALL.path, bench.seconds, key=service.key)
        assert not stormy.broken, f"{stormy.broken} connections broke"
        shares.append(stormy.refused / stormy.answers)
        storms.append(stormy.rate)
        ratios.append(stormy.rate / clean.rate)
        service.forget_images()
    bench.report.raw("crash_storm_share", shares, "of all images killed their decoder")
    bench.report.raw("crash_storm_upload_door_74KB", storms, "images/s")
    bench.report.judge("crash storm / clean, 74KB", ratios, _TARGET)


@contextmanager
def _storm(service: Service, kills_a_second: float) -> Iterator[None]:
    """Kill so many busy decoders a second."""
    servers = {one.ppid() for one in service.decoders("UploadApi")}
    ended = threading.Event()

    def kill() -> None:
        turn = cycle(sorted(servers))
        while not ended.wait(1 / kills_a_second):
            _kill_a_busy_child(turn)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _kill_a_busy_child(servers: Iterator[int]) -> None:
    pause = threading.Event()
    for _ in range(_TRIES_A_KILL):
        for child in _children(next(servers)):
            if _state(child) == "R":
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGSEGV)
                    return
        pause.wait(_TRY_SECONDS)


def _children(process: int) -> list[int]:
    # psutil reads all of /proc for this, a hundred times a second.
    try:
        words = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(word) for word in words]


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
