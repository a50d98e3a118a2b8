"""Whether an upload would find a place in a sandbox: answered before its body is read.

A body that is read only to be refused costs a millisecond and delays every refusal behind it.
"""

import asyncio
import math
import time

from processors.errors import Overloaded
from processors.sandbox import Sandbox
from serve_app.admission import Admission, Lease
from serve_app.others import OtherNodes

# Of another node's answer: then it is asked again, and what it said before goes on to count.
_HOLDS_SECONDS = 0.05
# ... but not for longer than this: a quiet node's next burst waits for a new answer.
_COUNTS_SECONDS = 1.0


class Places:
    """What is free here, less what is already on its way; then what another node says it has.

    A forecast: `Sandbox.submit` decides, once the bytes are here.
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
        # A sandbox without any child says so itself.
        if taken < limit or not self._sandbox.ready:
            lease.expect()
        elif not await self.elsewhere(lease):
            raise Overloaded(
                f"{taken} images are expected, waiting or being processed, the limit is {limit}",
                limit=limit,
                value=taken,
            )

    async def elsewhere(self, lease: Lease) -> bool:
        """Whether another node has a place for the upload, which is its own from then on."""
        if self._others.there and not lease.spills:
            lease.spills = await self._elsewhere.take()
        return lease.spills


class Elsewhere:
    """Places that another node said it has, given away one by one until it is asked again.

    On a busy machine its answer takes as long as a refusal may, so hardly anybody waits for one.
    """

    def __init__(self, others: OtherNodes) -> None:
        self._others = others
        self._asking: asyncio.Task[None] | None = None
        self._left = 0
        self._asked_at = -math.inf

    async def take(self) -> bool:
        """Whether one is left."""
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
