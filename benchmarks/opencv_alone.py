"""Yardstick: OpenCV alone on all cores. `python -m benchmarks.opencv_alone PHOTO SECONDS HOW`.

HOW is `processes` or `threads`. Prints images per second.
"""

import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.opencv_work import flags_for, work
from processors.sandbox.warm_up import warm_up

CORES = len(os.sched_getaffinity(0))
HOWS = ("processes", "threads")
# All workers have started after this time, and begin together.
_HEAD_START_SECONDS = 0.3


def images_per_second(photo: Path, seconds: float, how: str) -> float:
    """Measure images a second in a separate process, without other code of Pixlake."""
    command = [sys.executable, "-m", "benchmarks.opencv_alone", str(photo), str(seconds), how]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def fastest(photo: Path, seconds: float) -> str:
    """Choose `processes` or `threads`, whichever is faster on this machine."""
    return max(HOWS, key=partial(images_per_second, photo, seconds))


def _count(share: tuple[bytes, int, float, float]) -> int:
    data, flags, begins, ends = share
    time.sleep(max(0.0, begins - time.time()))
    done = 0
    while time.time() < ends:
        work(data, flags)
        done += 1
    return done


def _measured(photo: Path, seconds: float, how: str) -> float:
    warm_up()
    data = photo.read_bytes()
    flags = flags_for(data)
    if how == "threads":
        with ThreadPoolExecutor(CORES) as threads:
            return _rate(threads.map, data, flags, seconds)
    with multiprocessing.get_context("spawn").Pool(CORES, initializer=warm_up) as pool:
        pool.map(partial(work, data), [flags] * 2 * CORES, chunksize=1)
        return _rate(pool.imap, data, flags, seconds)


def _rate(mapping: object, data: bytes, flags: int, seconds: float) -> float:
    assert callable(mapping)
    begins = time.time() + _HEAD_START_SECONDS
    shares = [(data, flags, begins, begins + seconds)] * CORES
    done: int = sum(mapping(_count, shares))
    return done / seconds


if __name__ == "__main__":
    print(_measured(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
