"""Invalidation of erased images in CloudFront, which would otherwise serve them for an hour.

An erasure never waits for it and never fails because of it. A path that CloudFront has not accepted
within the hour needs no invalidation any more, so it is given up.
"""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple, Protocol
from uuid import uuid4

import boto3
from botocore.config import Config

from lake import layout
from lake.logs import logger

CACHED_SECONDS: Final = 3600.0
"""Longest time for which CloudFront serves a rendition; deploy/ecs/infra/stacks/cdn.py sets it."""
BATCH: Final = 15
"""Paths with `*` that CloudFront invalidates at once (CloudFront Developer Guide, "Quotas")."""
MOST_WAITING: Final = 10_000
"""Paths of one process that wait; the oldest is given up for a new one."""
MOST_REMEMBERED: Final = 10_000
_ALL = f"/{layout.IMAGES}/*"
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
# CloudFront's API answers within a second; without a limit boto3 waits for minutes.
_CONFIG = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1})

log = logger(__name__)


class Invalidate(Protocol):
    """Request of CloudFront's API; raises any error of the client."""

    def __call__(self, paths: list[str], reference: str) -> None:
        """Invalidate paths; a repetition with the same reference and paths does nothing more."""


class _Waiting(NamedTuple):
    path: str
    since: float


def cloudfront(distribution: str) -> Invalidate:
    """Build the request for a distribution, with the credentials of this process."""
    # CloudFront's API has one address for all regions, and this region signs its requests.
    client = boto3.client("cloudfront", region_name="us-east-1", config=_CONFIG)

    def invalidate(paths: list[str], reference: str) -> None:
        batch = {
            "Paths": {"Quantity": len(paths), "Items": paths},
            "CallerReference": reference,
        }
        client.create_invalidation(DistributionId=distribution, InvalidationBatch=batch)

    return invalidate


class Invalidations:
    """Erased images of this process whose copies in CloudFront must go; sent by `run`."""

    def __init__(
        self,
        invalidate: Invalidate,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._invalidate, self._clock, self._sleep = invalidate, clock, sleep
        self._waiting: deque[_Waiting] = deque()
        # Paths of the last hour with their times: each path is paid, and clients repeat erasures.
        self._added: OrderedDict[tuple[str, bool], float] = OrderedDict()
        self._some = asyncio.Event()
        self.paths: Counter[str] = Counter()
        """Number of paths by their ends: `sent`, or `given_up`."""
        self.failures = 0
        """Number of requests that failed; each is tried again."""

    @classmethod
    def of(cls, distribution: str | None) -> "Invalidations | None":
        """Create the queue for a distribution; None without one."""
        return cls(cloudfront(distribution)) if distribution else None

    @property
    def waiting(self) -> int:
        """Number of paths that CloudFront has not accepted yet."""
        return len(self._waiting)

    def add_all(self) -> None:
        """Invalidate all renditions soon, after a sweep that deleted expired images.

        CloudFront counts the path as one, and each expired image would be a path of its own.
        """
        self._append(_ALL)

    def add(self, tenant: str, image_id: str, *, erased: bool = True) -> None:
        """Invalidate the renditions of an image soon, once in an hour; returns at once.

        `erased`: False if the erasure was interrupted. CloudFront may then fetch the renditions
        again, so a repetition of the erasure invalidates them once more.
        """
        path, now = f"/{layout.image_prefix(tenant, image_id)}/*", self._clock()
        while self._added and (
            len(self._added) >= MOST_REMEMBERED
            or next(iter(self._added.values())) <= now - CACHED_SECONDS
        ):
            self._added.popitem(last=False)
        if (path, True) in self._added or (path, erased) in self._added:
            return
        self._added[path, erased] = now
        self._append(path)

    def _append(self, path: str) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.paths["given_up"] += 1
        self._waiting.append(_Waiting(path, self._clock()))
        self._some.set()

    async def send_all(self, seconds: float) -> int:
        """Send all waiting paths, for a process that ends; returns the number not accepted."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._waiting:
                    await self._send()
        return len(self._waiting)

    async def run(self) -> None:
        """Send paths as they come, until cancelled."""
        while True:
            await self._some.wait()
            await self._send()
            if not self._waiting:
                self._some.clear()

    async def _send(self) -> None:
        """Send the oldest paths together, until CloudFront accepts them or they are too old."""
        batch = [self._waiting[n] for n in range(min(BATCH, len(self._waiting)))]
        reference, pause = uuid4().hex, _FIRST_PAUSE_SECONDS
        while batch[-1].since > self._clock() - CACHED_SECONDS:
            try:
                await asyncio.to_thread(self._invalidate, [one.path for one in batch], reference)
            except Exception as error:  # noqa: BLE001  the next try may succeed
                self.failures += 1
                log.warning("CloudFront did not accept an invalidation", error=error)
                await self._sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                self._end(batch, "sent")
                return
        self._end(batch, "given_up")

    def _end(self, batch: list[_Waiting], how: str) -> None:
        done = set(batch)
        before = len(self._waiting)
        self._waiting = deque(one for one in self._waiting if one not in done)
        # A path that was dropped meanwhile, because too many wait, is counted already.
        self.paths[how] += before - len(self._waiting)
