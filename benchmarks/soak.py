"""Memory in half an hour of uploads and messages: `python -m benchmarks.soak [--minutes 30]`.

The figure is the resident memory of replicas and children at the end, divided by that after a sixth
of the time (5 of 30 minutes); each is the median of the minute before. Stored images are deleted
during the run.
"""

import argparse
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks import load
from benchmarks.__main__ import RESULTS
from benchmarks.cpu_breakdown import part_of
from benchmarks.figures import Report, Target
from benchmarks.kafka_ingest import produce
from benchmarks.memory import pss, rss
from benchmarks.photos import MEDIUM, SMALL
from benchmarks.service import Service, running, words_of

_TARGET = Target(1.1, 1.03, less=True)
_SAMPLE_SECONDS = 5.0
_TURN_SECONDS = 20
_CONNECTIONS = 8
_MESSAGES_A_TURN = 200
# Longer than any upload takes.
_KEEP_SECONDS = 60.0
_MEGA = 1e6


def main() -> int:
    """Run the soak; returns exit code 1 if memory grows more than the target allows."""
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
    """Upload photos of two sizes in turn, and send messages; returns the number of uploads."""
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


@dataclass(frozen=True, slots=True)
class _Sample:
    """Seconds since the start; RSS by part and PSS of replicas and children, in bytes."""

    at: float
    rss: dict[str, int]
    pss: int


def _take(service: Service, began: float) -> _Sample:
    workers = service.workers()
    parts: dict[str, int] = defaultdict(int)
    for worker in workers:
        parts[part_of(words_of(worker))] += rss([worker])
    return _Sample(time.monotonic() - began, dict(parts), pss(workers))


@contextmanager
def _sampled(service: Service) -> Iterator[list[_Sample]]:
    samples: list[_Sample] = []
    ended, began = threading.Event(), time.monotonic()

    def look() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            samples.append(_take(service, began))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def _judge(report: Report, samples: list[_Sample], seconds: float) -> None:
    ends = {"early": seconds / 6, "end": samples[-1].at}
    total: dict[str, float] = {}
    for when, end in ends.items():
        minute = [
            sample
            for sample in samples
            if end - min(60.0, seconds / 6) <= sample.at <= end + _SAMPLE_SECONDS
        ]
        total[when] = report.raw(
            f"soak_rss_{when}", [sum(sample.rss.values()) / _MEGA for sample in minute], "MB"
        )
        report.raw(f"soak_pss_{when}", [sample.pss / _MEGA for sample in minute], "MB")
        for part in sorted(minute[-1].rss):
            held = [sample.rss.get(part, 0) / _MEGA for sample in minute]
            report.raw(f"soak_rss_{when}_{part.replace(' ', '_')}", held, "MB")
    name = f"{seconds / 60:g} min soak: RSS at the end / after {seconds / 360:g} min"
    report.judge(name, [total["end"] / total["early"]], _TARGET)


if __name__ == "__main__":
    sys.exit(main())
