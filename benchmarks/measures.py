"""Processor time of the measures: `python -m benchmarks.measures`, one JSON line per photo.

Runs preset `web` in one process, like a child, with all measures and with none. Processor time does
not include other work on the machine, except for its effect on caches. The limit is a ratio of 0.25
without QR and bar codes; the time with codes has no limit.
"""

import json
import statistics
import sys
import time
from unittest import mock

from benchmarks.photos import MEDIUM, PNG, SMALL, TWELVE, Photo
from processors import pipeline
from processors.preset import WEB
from processors.sandbox.warm_up import warm_up
from processors.settings import Limits

_MUST = 0.25
# Images of each way; the ways alternate after every image. With longer turns, the state of the
# memory depends on the way before: an image without measures took longer after one with codes.
_TURNS = {SMALL: 400, MEDIUM: 40, PNG: 30, TWELVE: 20}
_CODED = 10


def cpu_ms(data: bytes, limits: Limits) -> float:
    """Measure the processor time of one image in milliseconds."""
    started = time.process_time()
    pipeline.process(data, WEB, limits)
    return 1000 * (time.process_time() - started)


def costs(photo: Photo, turns: int) -> tuple[float, float, float]:
    """Measure an image without measures, with measures, and with codes, too; medians in ms."""
    data = photo.data
    nothing = pipeline.process(data, WEB, Limits()).measures

    def bare() -> float:
        with mock.patch.object(pipeline, "measure", return_value=nothing):
            return cpu_ms(data, Limits())

    without: list[float] = []
    plain: list[float] = []
    for turn in range(turns):
        ways = [(without, bare), (plain, lambda: cpu_ms(data, Limits()))]
        for times, way in ways[:: -1 if turn % 2 else 1]:
            times.append(way())
    coded = [cpu_ms(data, Limits(codes=True)) for _ in range(_CODED)]
    return statistics.median(without), statistics.median(plain), statistics.median(coded)


def main() -> int:
    """Print all figures; returns exit code 1 if a ratio exceeds its limit."""
    warm_up()
    missed = False
    for photo, turns in _TURNS.items():
        without, plain, coded = costs(photo, turns)
        ratio = (plain - without) / without
        missed |= ratio > _MUST
        line = {
            "benchmark": "measures",
            "photo": photo.name,
            "without_ms": round(without, 3),
            "measures_ms": round(plain - without, 3),
            "ratio": round(ratio, 3),
            "must": _MUST,
            "codes_ms": round(coded - plain, 3),
        }
        sys.stdout.write(json.dumps(line) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
