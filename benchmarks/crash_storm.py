"""Throughput of the HTTP upload while every 20th image kills its decoder.

The decoder gets SIGSEGV while it processes an image, which looks like a crash of the decoder. The
image is refused as `decoder_crashed`. After SIGKILL, the image would be tried again, because the
machine might be the cause.

The number of kills follows the number of images stored meanwhile, and the share of kills that hit
an image in earlier rounds: throughput is lower during kills, and some kills hit a child that has
just finished.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from statistics import mean

from benchmarks import load
from benchmarks.bench import Bench
from benchmarks.figures import Target
from benchmarks.photos import SMALL
from benchmarks.service import Service

_TARGET = Target(0.7, 0.9)
_EVERY = 20
# Share of images to kill: one in 20 and a little more, so that the share is not less by chance.
_SHARE = 1.06 / _EVERY
_LOOK_SECONDS = 0.03
# Tries to find a busy child: a child may have just died, or be between two images.
_TRIES_A_KILL = 50
_TRY_SECONDS = 0.001


def run(bench: Bench) -> None:
    """Alternate rounds without and with kills. Refused images do not count as done."""
    service = bench.service
    ratios, shares, storms = [], [], []
    # This round is not counted; it measures the share of kills that hit.
    hits = [_share(_stormy(bench, _SHARE)) / _SHARE]
    for _ in range(bench.rounds):
        clean = load.post(service.upload_url, SMALL.path, bench.seconds, key=service.key).flawless()
        kills = _SHARE / mean(hits)
        stormy = _stormy(bench, kills)
        shares.append(_share(stormy))
        storms.append(stormy.rate)
        ratios.append(stormy.rate / clean.rate)
        hits.append(shares[-1] / kills)
        service.forget_images()
    bench.report.raw("crash_storm_share", shares, "of all images killed their decoder")
    bench.report.raw("crash_storm_http_upload_74KB", storms, "images/s")
    bench.report.judge("crash storm / clean, 74KB", ratios, _TARGET)


def _stormy(bench: Bench, kills: float) -> load.Answers:
    """Load with `kills` kills per image."""
    service = bench.service
    with _storm(service, kills):
        answers = load.post(service.upload_url, SMALL.path, bench.seconds, key=service.key)
    assert not answers.broken, f"{answers.broken} connections broke"
    assert answers.refused, "no kill hit an image"
    return answers


def _share(answers: load.Answers) -> float:
    return answers.refused / answers.answers


@contextmanager
def _storm(service: Service, kills_an_image: float) -> Iterator[None]:
    """Kill `kills_an_image` busy decoders per stored image, within the block."""
    servers = {decoder.ppid() for decoder in service.decoders("UploadApi")}
    images = service.store / "images"
    before = _stored(images)
    ended = threading.Event()

    def kill() -> None:
        turn = cycle(sorted(servers))
        done = 0
        while not ended.wait(_LOOK_SECONDS):
            due = int((_stored(images) - before) * kills_an_image)
            while done < due and not ended.is_set():
                _kill_a_busy_child(turn)
                done += 1

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _stored(images: Path) -> int:
    """Count the folders `<tenant>/<2 hex>/<image_id>` fast, by the link counts of their parents.

    Each folder has two links and one from every folder in it, on tmpfs and ext4.
    """
    return sum(each.stat().st_nlink - 2 for each in images.glob("*/*"))


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
