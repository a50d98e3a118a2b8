"""Forecast whether a sandbox has a place for an upload, before its body is read.

Reading a body that is refused afterwards costs a millisecond and delays the refusals behind it.
"""

import asyncio
import math
import time

from processors.errors import Overloaded
from processors.sandbox import Sandbox
from serve_app.admission import Admission, Lease
from serve_app.others import OtherNodes

# Age of another node's answer after which the node is asked again in the background.
_HOLDS_SECONDS = 0.05
# Age after which an old answer does not count any more, and an upload waits for a new one.
_COUNTS_SECONDS = 1.0


class Places:
    """Free places on this node, minus expected uploads; then those of another node.

    This is a forecast: `Sandbox.submit` decides once the body is complete.
    """

    def __init__(self, sandbox: Sandbox, admission: Admission, others: OtherNodes) -> None:
        self._sandbox = sandbox
        self._admission = admission
        self._others = others
        self._elsewhere = Elsewhere(others)

    async def expect(self, lease: Lease) -> None:
        """Return if the upload may send its body; raises Overloaded."""
        limit = self._sandbox.capacity
        taken = self._sandbox.load + self._admission.expected
        full = (limit, taken) if taken >= limit else self._sandbox.beyond_share(lease.holder)
        # A sandbox without any child raises its own error later.
        if full is None or not self._sandbox.ready:
            lease.expect()
        elif not await self.elsewhere(lease):
            limit, taken = full
            raise Overloaded(
                f"{taken} images are expected, waiting or being processed, the limit is {limit}",
                limit=limit,
                value=taken,
            )

    async def elsewhere(self, lease: Lease) -> bool:
        """True if another node has a place for the upload; the place is then reserved for it."""
        if self._others.there and not lease.spills:
            lease.spills = await self._elsewhere.take()
        return lease.spills


class Elsewhere:
    """Free places of another node by its last answer, given to uploads one by one.

    On a busy machine the other node answers slowly, so few uploads wait for its answer.
    """

    def __init__(self, others: OtherNodes) -> None:
        self._others = others
        self._asking: asyncio.Task[None] | None = None
        self._left = 0
        self._asked_at = -math.inf

    async def take(self) -> bool:
        """Take one place; False if none is left."""
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
