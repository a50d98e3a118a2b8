"""What the measures cost: `python -m benchmarks.measures`, a JSON line a photo.

In one process, as a child works: time in the measures by the time of all else that preset `web`
does with the photo. A must of 0.25 without QR and bar codes; with them it is only told.
"""

import json
import statistics
import sys

from benchmarks.photos import MEDIUM, PNG, SMALL, TWELVE, Photo
from processors.pipeline import process
from processors.preset import WEB
from processors.settings import Limits
from processors.warm_up import warm_up

_MUST = 0.25
_ROUNDS = 5
_IMAGES = {SMALL: 60, MEDIUM: 20, PNG: 20, TWELVE: 8}


def cost(photo: Photo, limits: Limits, images: int) -> tuple[float, float]:
    """Milliseconds in the measures, and in all else; medians of so many images."""
    data = photo.data
    found = [process(data, WEB, limits) for _ in range(images)]
    measured = statistics.median(each.timings.measure_ms for each in found)
    rest = statistics.median(each.process_ms - each.timings.measure_ms for each in found)
    return measured, rest


def main() -> int:
    """Exit code: 1 where the must is missed."""
    warm_up()
    missed = False
    for photo, images in _IMAGES.items():
        plain = [cost(photo, Limits(), images) for _ in range(_ROUNDS)]
        coded = cost(photo, Limits(codes=True), images)
        ratio = statistics.median(measured / rest for measured, rest in plain)
        missed |= ratio > _MUST
        line = {
            "benchmark": "measures",
            "photo": photo.name,
            "measure_ms": round(statistics.median(each for each, _ in plain), 3),
            "rest_ms": round(statistics.median(rest for _, rest in plain), 3),
            "ratio": round(ratio, 3),
            "must": _MUST,
            "ratio_with_codes": round(coded[0] / coded[1], 3),
        }
        sys.stdout.write(json.dumps(line) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
