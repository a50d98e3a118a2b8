"""Memory of processes, and its peak during a block."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_POLL_SECONDS = 0.05
# Interval at which the processes are listed, which costs more than reading their memory.
_LIST_SECONDS = 0.5


def pss(processes: list[psutil.Process]) -> int:
    """Sum of proportional set sizes in bytes; shared pages (fork, shared memory) count once.

    Only root may read the PSS of sandboxed children. For other users, their resident size is used,
    which counts shared pages repeatedly and so is never too small.
    """
    return sum(_pss(process) for process in processes)


def rss(processes: list[psutil.Process]) -> int:
    """Sum of resident set sizes in bytes; shared pages count for each process."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _pss(process: psutil.Process) -> int:
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except PermissionError:
        return rss([process])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lines = (line.split() for line in text.splitlines())
    return sum(int(words[1]) * 1024 for words in lines if words[0] == "Pss:")


class Peak:
    """Largest PSS so far, in bytes."""

    bytes = 0


@contextmanager
def watched(processes: Callable[[], list[psutil.Process]]) -> Iterator[Peak]:
    """Measure the peak of PSS within the block, every 50 ms."""
    peak, ended = Peak(), threading.Event()

    def look() -> None:
        listed, asked = processes(), time.monotonic()
        while not ended.wait(_POLL_SECONDS):
            if time.monotonic() > asked + _LIST_SECONDS:
                listed, asked = processes(), time.monotonic()
            peak.bytes = max(peak.bytes, pss(listed))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
