"""Overload of the machine by processes that use all processor time they get."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.waiting import wait_until

# A process ends by itself if its parent dies.
_SPIN = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"
_STARTED_SECONDS = 0.05
_DEADLINE_SECONDS = 60


@contextmanager
def busy(processes: int = 30) -> Iterator[None]:
    """Run this number of processes of normal priority for the length of a `with`."""
    running: list[psutil.Popen] = []
    try:
        for _ in range(processes):
            # A session for each process, because the kernel divides CPU time among sessions first.
            command = [sys.executable, "-I", "-S", "-c", _SPIN]
            running.append(psutil.Popen(command, start_new_session=True))
        wait_until(
            lambda: all(each.cpu_times().user > _STARTED_SECONDS for each in running),
            _DEADLINE_SECONDS,
        )
        yield
    finally:
        for each in running:
            each.kill()
        for each in running:
            each.wait()
