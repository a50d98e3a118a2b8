"""Memory over half an hour of both doors under load: `python -m benchmarks.soak [--minutes 30]`.

Judged is the resident memory of replicas and children at the end, against that after a sixth of the
time (5 of 30 minutes), each the median of its last minute. What was stored is removed as it goes.
"""

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from benchmarks import load
from benchmarks.__main__ import RESULTS
from benchmarks.figures import Report, Target
from benchmarks.kafka_door import produce
from benchmarks.memory import pss, rss
from benchmarks.photos import MEDIUM, SMALL
from benchmarks.service import Service, running

_TARGET = Target(1.1, 1.03, less=True)
_SAMPLE_SECONDS = 5.0
_TURN_SECONDS = 20
_CONNECTIONS = 8
_MESSAGES_A_TURN = 200
# Longer than an image may be under way.
_KEEP_SECONDS = 60.0
_MEGA = 1e6


def main() -> int:
    """Run it; exit code 1 if memory grows more than it must not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes = parser.parse_args().minutes
    load.check_wrk()
    RESULTS.mkdir(parents=True, exist_ok=True)
    report = Report(RESULTS / f"soak-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl")
    with running() as service, _sampled(service) as samples:
        images = _load(service, minutes * 60)
    _judge(report, samples, minutes * 60)
    report.raw("soak_uploads", [images], "images")
    print(f"\n{report.table()}")
    return 0 if report.ok else 1


def _load(service: Service, seconds: float) -> int:
    """Uploads of two sizes by turns, with messages beside them; how many uploads."""
    images, ends = 0, time.monotonic() + seconds
    while time.monotonic() < ends:
        for photo in (SMALL, MEDIUM):
            produce(service.bootstrap, photo.data, _MESSAGES_A_TURN)
            turn = min(_TURN_SECONDS, seconds / 6)
            images += load.post(
                service.upload_url, photo.path, turn, key=service.key, connections=_CONNECTIONS
            ).answers
            service.forget_images(older_than_seconds=_KEEP_SECONDS)
    return images


class _Samples(list[tuple[float, int, int]]):
    """Seconds since the start, RSS and PSS of replicas and children in bytes."""

    def around(self, ends: float, column: int) -> float:
        """Median of the minute that ends there, or of a sixth of the time if that is less."""
        length = min(60.0, self[-1][0] / 6)
        return statistics.median(
            each[column] for each in self if ends - length <= each[0] <= ends + _SAMPLE_SECONDS
        )


@contextmanager
def _sampled(service: Service) -> Iterator[_Samples]:
    samples, ended, began = _Samples(), threading.Event(), time.monotonic()

    def look() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            workers = service.workers()
            samples.append((time.monotonic() - began, rss(workers), pss(workers)))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def _judge(report: Report, samples: _Samples, seconds: float) -> None:
    for name, column in (("rss", 1), ("pss", 2)):
        early = samples.around(seconds / 6, column)
        late = samples.around(samples[-1][0], column)
        report.raw(f"soak_{name}_early", [early / _MEGA], "MB")
        report.raw(f"soak_{name}_end", [late / _MEGA], "MB")
        if name == "rss":
            minutes = f"{seconds / 60:g} min soak: RSS at the end / after {seconds / 360:g} min"
            report.judge(minutes, [late / early], _TARGET)


if __name__ == "__main__":
    sys.exit(main())
