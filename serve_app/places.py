"""Whether an upload would find a place in a sandbox: answered before its body is read.

A body that is read only to be refused costs a millisecond and delays every refusal behind it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from processors.errors import Overloaded
from processors.sandbox import Sandbox
from serve_app.admission import Admission, Lease

Spare = Callable[[], Awaitable[int]]
"""How many images another node would take now. Raises nothing, and answers soon."""

# Of another node's answer: in a burst one question is enough for all.
_HOLDS_SECONDS = 0.05


class Places:
    """What is free here, less what is already on its way; then what another node says it has.

    A forecast: `Sandbox.submit` decides, once the bytes are here.
    """

    def __init__(
        self, sandbox: Sandbox, admission: Admission, spare: Spare | None, *, spills: bool
    ) -> None:
        self._sandbox = sandbox
        self._admission = admission
        self._elsewhere = None if spare is None else Elsewhere(spare)
        self._spills = spills

    async def expect(self, lease: Lease) -> None:
        """Return if the upload may send its body; raises Overloaded."""
        limit = self._sandbox.capacity
        taken = self._sandbox.load + self._admission.expected
        # A sandbox without any child says so itself.
        if taken < limit or not self._sandbox.ready:
            lease.expect()
        elif self._elsewhere is None and self._spills:
            return  # nothing is known of the other node: it is asked with the image in hand
        elif self._elsewhere is None or not await self._elsewhere.take():
            raise Overloaded(
                f"{taken} images are expected, waiting or being processed, the limit is {limit}",
                limit=limit,
                value=taken,
            )


class Elsewhere:
    """Places that another node said it has, given away one by one while its answer holds."""

    def __init__(self, ask: Spare) -> None:
        self._ask = ask
        self._asking = asyncio.Lock()
        self._left = 0
        self._until = 0.0

    async def take(self) -> bool:
        """Whether one is left; asks the other node if it has not been asked just now."""
        if time.monotonic() >= self._until:
            async with self._asking:
                if time.monotonic() >= self._until:
                    self._left = await self._ask()
                    self._until = time.monotonic() + _HOLDS_SECONDS
        if self._left <= 0:
            return False
        self._left -= 1
        return True
