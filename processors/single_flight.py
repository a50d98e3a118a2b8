"""Cache of look-ups: concurrent requests for a key share one look-up, whose result is kept."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cachetools import FIFOCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Running(Generic[V]):
    """Running look-up, and its start on the monotonic clock."""

    task: asyncio.Task[V]
    since: float


@dataclass(frozen=True, slots=True)
class _Known(Generic[V]):
    value: V
    since: float


class SingleFlight(Generic[K, V]):
    """Results of look-ups in one event loop, at most `most`; the oldest result makes room.

    `size`: size of a result, which counts for `most`; by default each result counts as one.

    The age of a result counts from the start of its look-up. The caller decides which age it
    accepts, so that it can look up ahead, and use an old result while look-ups fail. Failures are
    not kept. A look-up continues if the task that started it is cancelled.
    """

    def __init__(
        self,
        most: int,
        now: Callable[[], float] = time.monotonic,
        *,
        size: Callable[[V], int] | None = None,
    ) -> None:
        self._now = now
        self._known: FIFOCache[K, _Known[V]] = FIFOCache(
            most, None if size is None else lambda known: size(known.value)
        )
        self.running: dict[K, Running[V]] = {}

    def find(self, key: K) -> tuple[V | None, float]:
        """Return the kept result of a key and its age in seconds; None and infinity without one."""
        known = self._known.get(key)
        return (None, math.inf) if known is None else (known.value, self._now() - known.since)

    @property
    def youngest(self) -> float:
        """Age of the youngest result in seconds; infinity without one."""
        return min((self._now() - known.since for known in self._known.values()), default=math.inf)

    def start(self, key: K, look_up: Coroutine[Any, Any, V]) -> Running[V]:
        """Start a look-up; none may be running for that key."""
        running = Running(asyncio.create_task(look_up), self._now())
        self.running[key] = running
        running.task.add_done_callback(lambda _: self._keep(key, running))
        return running

    async def join(self, key: K, look_up: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Await the running look-up of that key, or start one; raises its error."""
        running = self.running.get(key) or self.start(key, look_up())
        return await asyncio.shield(running.task)

    def drop(self, key: K) -> None:
        """Forget the result of a key, and do not keep that of a running look-up."""
        self._known.pop(key, None)
        self.running.pop(key, None)

    def drop_all(self, which: Callable[[K], bool]) -> None:
        """Forget the results of all keys that `which` chooses."""
        for key in [key for key in (*self._known, *self.running) if which(key)]:
            self.drop(key)

    def _keep(self, key: K, running: Running[V]) -> None:
        # Reading the exception keeps asyncio from reporting it after all callers were cancelled.
        failed = running.task.cancelled() or running.task.exception() is not None
        if self.running.get(key) is running:
            del self.running[key]
            if not failed:
                self._known[key] = _Known(running.task.result(), running.since)
