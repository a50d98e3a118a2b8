"""Threads beside the event loop, for what background work takes a processor for."""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")

# A piece of work takes a second at most of a core that is free. One that takes longer did not
# have one, and rows are to be in the lake within minutes, however busy the machine is.
_PATIENCE_SECONDS = 5.0
_PRESSING_SECONDS = 60.0


class Aside:
    """Runs functions one after the other in a thread of its own, when nobody else wants the core.

    Sealing takes most of a core for half a second each minute. A thread that is merely nice keeps
    a core from being called idle, so an upload that wakes meanwhile is put on the other one and
    waits there: the slowest in a hundred took 200 ms. Where there is never a core to spare, the
    work goes on in another thread, which takes its share.

    One thread at a time, not asyncio's pool: allocators keep freed memory for each thread that
    used it, so threads that seal by turns hold 100 MB more.
    """

    def __init__(self) -> None:
        self._patient = ThreadPoolExecutor(1, "seal", initializer=_only_when_idle)
        self._pressing = ThreadPoolExecutor(1, "seal-now")
        self._pressed_until = float("-inf")

    async def run(self, work: Callable[..., _T], *args: object) -> _T:
        """The answer of `work`; raises what it raises."""
        pressing = time.monotonic() < self._pressed_until
        pool = self._pressing if pressing else self._patient
        return await asyncio.get_running_loop().run_in_executor(pool, self._timed, work, *args)

    def _timed(self, work: Callable[..., _T], *args: object) -> _T:
        # From here on, for a piece may have waited for those before it, which says nothing.
        begun = time.monotonic()
        try:
            return work(*args)
        finally:
            if (ended := time.monotonic()) - begun > _PATIENCE_SECONDS:
                self._pressed_until = ended + _PRESSING_SECONDS


def _only_when_idle() -> None:
    """Give the calling thread idle priority, which only a privileged process can revert."""
    if hasattr(os, "SCHED_IDLE"):  # Linux
        with suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
