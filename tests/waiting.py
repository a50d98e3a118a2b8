"""Polling for states without an event, such as those of processes, files and servers."""

import asyncio
import time
from collections.abc import Callable

# Long enough for a machine that is busy with other tests.
_SECONDS = 40
_TASK_PERIOD_SECONDS = 0.005
_THREAD_PERIOD_SECONDS = 0.05


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until a condition holds; `what` names it in the failure."""
    ends = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < ends, f"not within {_SECONDS} s: {what}"
        await asyncio.sleep(_TASK_PERIOD_SECONDS)


def wait_until(condition: Callable[[], object], seconds: float = _SECONDS, what: str = "") -> None:
    """Wait until a condition holds, in a thread without an event loop."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"not within {seconds} s: {what}"
        time.sleep(_THREAD_PERIOD_SECONDS)
