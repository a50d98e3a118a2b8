"""Spillover: uploads go to a peer node when this node has no free place."""

import asyncio
import math
import time
from typing import Protocol

from lake.lake import Commit
from processors.job import ImageJob


class Peers(Protocol):
    """Peer nodes of the cluster."""

    @property
    def exist(self) -> bool:
        """True if the cluster has other nodes."""

    async def spare(self) -> int:
        """Return how many images a peer would accept now. Raises nothing and returns soon."""

    async def process(self, job: ImageJob) -> Commit:
        """Process and commit an image on a peer. Raises the errors of `Worker.handle`."""


class Spillover:
    """Cached number of free places of a peer, given to uploads one by one.

    A peer under load answers slowly. The cache keeps most uploads from waiting for that answer.
    """

    def __init__(
        self, peers: Peers | None = None, *, fresh_seconds: float = 0.05, valid_seconds: float = 1.0
    ) -> None:
        """Use `peers`; None: the cluster has one node.

        After `fresh_seconds` the peer is asked again in the background. After `valid_seconds` its
        last answer is not used any more, and an upload waits for a new answer.
        """
        self._peers = peers
        self._fresh_seconds, self._valid_seconds = fresh_seconds, valid_seconds
        self._asking: asyncio.Task[None] | None = None
        self._free = 0
        self._asked_at = -math.inf

    async def reserve(self) -> bool:
        """Reserve one place of a peer; returns False if no place is free."""
        if self._peers is None or not self._peers.exist:
            return False
        age = time.monotonic() - self._asked_at
        if age >= self._fresh_seconds and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask(self._peers))
        if age >= self._valid_seconds and self._asking is not None:
            await asyncio.shield(self._asking)
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    async def process(self, job: ImageJob) -> Commit:
        """Process an image in a reserved place. Raises the errors of `Worker.handle`."""
        assert self._peers is not None  # noqa: S101  # otherwise no place was reserved
        return await self._peers.process(job)

    async def _ask(self, peers: Peers) -> None:
        asked_at = time.monotonic()
        self._free = await peers.spare()
        self._asked_at = asked_at
