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
_ROUNDS = 7
_IMAGES = {SMALL: 60, MEDIUM: 10, PNG: 10, TWELVE: 5}


def cpu_ms(data: bytes, limits: Limits, images: int) -> float:
    """Milliseconds of a processor an image."""
    started = time.process_time()
    for _ in range(images):
        pipeline.process(data, WEB, limits)
    return 1000 * (time.process_time() - started) / images


def costs(photo: Photo, images: int) -> tuple[float, float, float]:
    """An image without measures, with them, and with codes as well; medians, by turns."""
    data = photo.data
    nothing = pipeline.process(data, WEB, Limits()).measures
    without, plain, coded = [], [], []
    for _ in range(_ROUNDS):
        with mock.patch.object(pipeline, "measure", return_value=nothing):
            without.append(cpu_ms(data, Limits(), images))
        plain.append(cpu_ms(data, Limits(), images))
        coded.append(cpu_ms(data, Limits(codes=True), max(1, images // 5)))
    return statistics.median(without), statistics.median(plain), statistics.median(coded)


def main() -> int:
    """Exit code: 1 where the must is missed."""
    warm_up()
    missed = False
    for photo, images in _IMAGES.items():
        without, plain, coded = costs(photo, images)
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
