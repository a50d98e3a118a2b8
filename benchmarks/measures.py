"""What the measures cost: `python -m benchmarks.measures`, a JSON line a photo.

Preset `web` in one process, as a child works, with all measures and with none; processor time, so
that other work on the machine is not in it, but for its use of caches. A must of 0.25 without QR
and bar codes; with them it is only told.
"""

import json
import statistics
import sys
import time
from unittest import mock

from benchmarks.photos import MEDIUM, PNG, SMALL, TWELVE, Photo
from processors import pipeline
from processors.preset import WEB
from processors.settings import Limits
from processors.warm_up import warm_up

_MUST = 0.25
# Turns of each way, one image at a time: in longer turns each way finds memory as the one before it
# left it, and after codes an image without measures took more time than one with them.
_TURNS = {SMALL: 400, MEDIUM: 40, PNG: 30, TWELVE: 20}
_CODED = 10


def cpu_ms(data: bytes, limits: Limits) -> float:
    """Milliseconds of a processor that an image takes."""
    started = time.process_time()
    pipeline.process(data, WEB, limits)
    return 1000 * (time.process_time() - started)


def costs(photo: Photo, turns: int) -> tuple[float, float, float]:
    """An image without measures, with them, and with codes as well; medians."""
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
    """Exit code: 1 where the must is missed."""
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
