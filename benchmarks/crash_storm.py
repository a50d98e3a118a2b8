"""Throughput of the HTTP upload while every 20th image kills its decoder.

The decoder gets SIGSEGV while it processes an image, which looks like a crash of the decoder. A new
decoder processes the image again, so the image is stored. The number of kills follows the number of
images stored meanwhile, because throughput is lower during kills.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
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
_LOOK_SECONDS = 0.03
# Tries to find a busy child: a child may have just died, or be between two images.
_TRIES_A_KILL = 50
_TRY_SECONDS = 0.001


def run(bench: Bench) -> None:
    """Alternate rounds without and with kills. Refused images do not count as done."""
    service = bench.service
    ratios, shares, storms = [], [], []
    for _ in range(bench.rounds):
        clean = load.post(service.upload_url, SMALL.path, bench.seconds, key=service.key).flawless()
        stormy, kills = _stormy(bench)
        shares.append(kills / stormy.answers)
        storms.append(stormy.rate)
        ratios.append(stormy.rate / clean.rate)
        service.forget_images()
    bench.report.raw("crash_storm_share", shares, "of all images: kills of a busy decoder")
    bench.report.raw("crash_storm_http_upload_74KB", storms, "images/s")
    bench.report.judge("crash storm / clean, 74KB", ratios, _TARGET)


def _stormy(bench: Bench) -> tuple[load.Answers, int]:
    """Load during kills; returns the answers and the number of kills."""
    service = bench.service
    with _storm(service) as killed:
        answers = load.post(service.upload_url, SMALL.path, bench.seconds, key=service.key)
    assert not answers.broken, f"{answers.broken} connections broke"
    assert killed(), "no decoder was killed"
    return answers, killed()


@contextmanager
def _storm(service: Service) -> Iterator[Callable[[], int]]:
    """Kill a busy decoder for every 20th stored image; yields a function that counts the kills."""
    servers = {decoder.ppid() for decoder in service.decoders("UploadApi")}
    images = service.store / "images"
    before = _stored(images)
    ended = threading.Event()
    kills: list[int] = []

    def kill() -> None:
        turn = cycle(sorted(servers))
        tries = 0
        while not ended.wait(_LOOK_SECONDS):
            due = (_stored(images) - before) // _EVERY
            while tries < due and not ended.is_set():
                kills.extend(_kill_a_busy_child(turn))
                tries += 1

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield lambda: len(kills)
    finally:
        ended.set()
        thread.join()


def _stored(images: Path) -> int:
    """Count the folders `<tenant>/<2 hex>/<image_id>` fast, by the link counts of their parents.

    Each folder has two links and one from every folder in it, on tmpfs and ext4.
    """
    return sum(each.stat().st_nlink - 2 for each in images.glob("*/*"))


def _kill_a_busy_child(servers: Iterator[int]) -> list[int]:
    """Kill a child that works; returns its process id, or nothing if none was found."""
    pause = threading.Event()
    for _ in range(_TRIES_A_KILL):
        for child in _children(next(servers)):
            if _state(child) == "R":
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGSEGV)
                    return [child]
        pause.wait(_TRY_SECONDS)
    return []


def _children(process: int) -> list[int]:
    # psutil would read all of /proc, a hundred times a second.
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
