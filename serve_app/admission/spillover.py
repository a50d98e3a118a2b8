"""Spillover: forecast whether this node or a peer has a free place, before a body is read.

To read a body and then refuse the upload costs a millisecond, and delays the refusals of the
requests behind it.
"""

import asyncio
import math
import time

from processors.errors import Overloaded
from processors.sandbox.sandbox import Sandbox
from serve_app.admission.admission import Admission, Lease
from serve_app.admission.peers import Peers

# Age of a peer's answer after which the peer is asked again in the background.
_HOLDS_SECONDS = 0.05
# Age after which a peer's answer is not used any more, and an upload waits for a new answer.
_COUNTS_SECONDS = 1.0


class Places:
    """Free places of this node, without those for expected uploads, and then of a peer.

    This is a forecast. `Sandbox.submit` decides once the body is complete.
    """

    def __init__(self, sandbox: Sandbox, admission: Admission, others: Peers) -> None:
        self._sandbox = sandbox
        self._admission = admission
        self._others = others
        self._elsewhere = PeerCapacity(others)

    async def expect(self, lease: Lease) -> None:
        """Reserve a place for the upload, here or on a peer; raises Overloaded."""
        limit = self._sandbox.capacity
        used = self._sandbox.load + self._admission.expected
        full = (limit, used) if used >= limit else self._sandbox.beyond_share(lease.holder)
        # A sandbox without a child process raises a more exact error later.
        if full is None or not self._sandbox.ready:
            lease.expect()
        elif not await self.elsewhere(lease):
            limit, used = full
            raise Overloaded(
                f"{used} images are expected, waiting or being processed, the limit is {limit}",
                limit=limit,
                value=used,
            )

    async def elsewhere(self, lease: Lease) -> bool:
        """True if a peer has a place for the upload; then the place is reserved."""
        if self._others.there and not lease.spills:
            lease.spills = await self._elsewhere.take()
        return lease.spills


class PeerCapacity:
    """Cached number of free places of a peer, given to uploads one by one.

    A peer under load answers slowly. The cache keeps most uploads from waiting for that answer.
    """

    def __init__(self, others: Peers) -> None:
        self._others = others
        self._asking: asyncio.Task[None] | None = None
        self._left = 0
        self._asked_at = -math.inf

    async def take(self) -> bool:
        """Take one place; returns False if no place is free."""
        age = time.monotonic() - self._asked_at
        if age >= _HOLDS_SECONDS and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask_again())
        if age >= _COUNTS_SECONDS and self._asking is not None:
            await asyncio.shield(self._asking)
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    async def _ask_again(self) -> None:
        asked_at = time.monotonic()
        self._left = await self._others.spare()
        self._asked_at = asked_at
