"""Background threads for CPU-bound work, so that the event loop and uploads do not wait for it."""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")

# A call takes at most a second on a free core. A call that takes longer than _PATIENCE_SECONDS had
# none; then work runs at normal priority for _PRESSING_SECONDS, because rows must be in the lake
# within minutes, however busy the machine is.
_PATIENCE_SECONDS = 5.0
_PRESSING_SECONDS = 60.0


class IdleExecutor:
    """Runs functions one after the other in one background thread with idle priority.

    Sealing takes most of a core for half a second each minute. With a thread that is only nice, the
    kernel does not count its core as idle and puts a waking upload on the other core, where the
    upload waits: p99 latency was 200 ms. On a machine without a free core, the work continues in
    another thread of normal priority.

    One thread and not asyncio's pool, because allocators keep freed memory for each thread: several
    threads that seal in turn hold 100 MB more.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._patient = ThreadPoolExecutor(1, "seal", initializer=_only_when_idle)
        self._pressing = ThreadPoolExecutor(1, "seal-now")
        self._pressed_until = float("-inf")

    async def run(self, work: Callable[..., _T], *args: object) -> _T:
        """Run `work` in the background thread; returns its result or raises its error."""
        pressing = self._now() < self._pressed_until
        pool = self._pressing if pressing else self._patient
        return await asyncio.get_running_loop().run_in_executor(pool, self._timed, work, *args)

    def _timed(self, work: Callable[..., _T], *args: object) -> _T:
        # Measure from here, without the wait for earlier calls, which is no sign of a busy machine.
        begun = self._now()
        try:
            return work(*args)
        finally:
            if (ended := self._now()) - begun > _PATIENCE_SECONDS:
                self._pressed_until = ended + _PRESSING_SECONDS


def _only_when_idle() -> None:
    """Give the calling thread idle priority, which only a privileged process can revert."""
    if hasattr(os, "SCHED_IDLE"):  # Linux
        with suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
