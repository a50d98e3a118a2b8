"""How much memory processes hold, and the most they held while something was done."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_POLL_SECONDS = 0.05
# Children come and go; which processes there are is asked less often, for it costs more.
_LIST_SECONDS = 0.5


def pss(processes: list[psutil.Process]) -> int:
    """Bytes; what several of them share (a fork's pages, shared memory) counts once in the sum.

    The kernel tells it of sandboxed children to root only; for others, theirs is the resident
    size, which counts shared pages each time: more than it is, never less.
    """
    return sum(_pss(one) for one in processes)


def rss(processes: list[psutil.Process]) -> int:
    """Bytes resident, shared ones counted each time."""
    total = 0
    for one in processes:
        try:
            total += one.memory_info().rss
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
    """The most that was seen, in bytes."""

    bytes = 0


@contextmanager
def watched(processes: Callable[[], list[psutil.Process]]) -> Iterator[Peak]:
    """Look every 50 ms until the block ends."""
    peak, ended = Peak(), threading.Event()

    def look() -> None:
        found, asked = processes(), time.monotonic()
        while not ended.wait(_POLL_SECONDS):
            if time.monotonic() > asked + _LIST_SECONDS:
                found, asked = processes(), time.monotonic()
            peak.bytes = max(peak.bytes, pss(found))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
