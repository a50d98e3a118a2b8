"""Order in which images get a child: the sender that used children least comes first."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

from processors.shares import Holder, Shares

T = TypeVar("T")

# After this time, in seconds, a use of children counts half.
_HALF_LIFE_SECONDS = 30.0
# A use below this, in seconds, is forgotten.
_FORGOTTEN_SECONDS = 0.01
# A sender whose images hold a child for longer than this on average, in seconds, leaves a part of
# the children to others. After shorter images a child is free again soon.
_LONG_SECONDS = 0.5
# How often a sender that leaves children to others checks that others are still active, in seconds.
_LOOK_SECONDS = 1.0
# Uses that are checked after each image and forgotten if small: more than an image adds.
_LOOK_AT = 4


class FairQueue(Generic[T]):
    """Queue of work for children, by sender: a tenant and one of its keys.

    The use of a sender is the time that its images held a child. The next image comes from the
    tenant with the fewest busy children, then with the least use; among the keys of that tenant the
    same rule applies. So a sender of expensive images delays its own images. While others are
    active (`Shares`), a sender of long images gets no more than its share of children at once, so
    that a child is free for the others.
    """

    def __init__(self, children: int, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._running = Shares(children, now)
        self._waiting: dict[Holder, deque[T]] = defaultdict(deque)
        # Use of each tenant (by name) and of each sender, ordered by last use, oldest first.
        self._uses: dict[str | Holder, _Use] = {}
        self._getters: set[asyncio.Future[None]] = set()

    def put(self, sender: Holder, work: T) -> None:
        """Queue work behind the sender's own."""
        self._waiting[sender].append(work)
        self._running.room(sender, 0)  # marks the sender as active
        self._wake()

    async def get(self) -> tuple[Holder, T]:
        """Wait for the next work; its sender is charged with one child until `done`."""
        while (sender := self._next()) is None:
            await self._change()
        works = self._waiting[sender]
        work = works.popleft()
        if not works:
            del self._waiting[sender]
        self._running.add(sender, 1)
        return sender, work

    def done(self, sender: Holder, seconds: float) -> None:
        """Note that a child is free again, and for how many seconds the sender had it."""
        self._running.add(sender, -1)
        now = self._now()
        for name in (sender[0], sender):
            use = self._uses.pop(name, None) or _Use(now)
            use.add(seconds, now)
            self._uses[name] = use
        for other, use in list(islice(self._uses.items(), _LOOK_AT)):
            if use.lately(now) < _FORGOTTEN_SECONDS:
                del self._uses[other]
        self._wake()

    @property
    def remembered(self) -> int:
        """Number of tenants and senders whose use is remembered."""
        return len(self._uses)

    def drain(self) -> list[T]:
        """Take all work out of the queue."""
        queued = [work for works in self._waiting.values() for work in works]
        self._waiting.clear()
        return queued

    def _next(self) -> Holder | None:
        """Choose the sender of the next work; None if no work may begin now."""
        now = self._now()

        def use(name: str | Holder) -> float:
            record = self._uses.get(name)
            return record.lately(now) if record else 0.0

        def order(sender: Holder) -> tuple[float, ...]:
            of_tenant, of_key = self._running.of(sender)
            return of_tenant, use(sender[0]), of_key, use(sender)

        ready = (each for each in sorted(self._waiting, key=order) if self._may_begin(each))
        return next(ready, None)

    def _may_begin(self, sender: Holder) -> bool:
        use = self._uses.get(sender)
        is_long = use is not None and use.mean > _LONG_SECONDS
        return not is_long or self._running.room(sender, 1) is None

    async def _change(self) -> None:
        """Wait for an event that may change `_next`, or a while: activity ends without an event."""
        changed = asyncio.get_running_loop().create_future()
        self._getters.add(changed)
        try:
            async with asyncio.timeout(_LOOK_SECONDS if self._waiting else None):
                await changed
        except TimeoutError:
            return
        finally:
            self._getters.discard(changed)

    def _wake(self) -> None:
        for each in self._getters:
            if not each.done():
                each.set_result(None)


class _Use:
    """Time that images held children: lately, and of one image on average."""

    def __init__(self, now: float) -> None:
        self._seconds = self._squares = 0.0
        self._at = now

    @property
    def mean(self) -> float:
        """Average by time, not by image: cheap images between expensive ones do not lower it."""
        return self._squares / self._seconds if self._seconds else 0.0

    def lately(self, now: float) -> float:
        return float(self._seconds * 0.5 ** ((now - self._at) / _HALF_LIFE_SECONDS))

    def add(self, seconds: float, now: float) -> None:
        kept = self.lately(now) / self._seconds if self._seconds else 0.0
        self._seconds = self._seconds * kept + seconds
        self._squares = self._squares * kept + seconds**2
        self._at = now
