"""Fair shares of reads: a tenant with many requests leaves turns to the others.

A read takes some milliseconds of the event loop. Without turns, a tenant with 1,000 connections has
1,000 requests before each one of another tenant.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Request

from processors.errors import Overloaded
from processors.shares import Holder, Shares
from serve_app.accounts import READ, Principal
from serve_app.auth import need

# Reads at once in one process. Enough for 500 reads a second from a store that answers in 30 ms,
# and few enough that the request of another tenant waits for some milliseconds only.
_AT_ONCE = 16
# Longest time that a read waits for its turn, in seconds; then its client is told to come again.
_PATIENCE_SECONDS = 5.0


class Reads:
    """Turns of reads. A sender alone may have all; beside others half of them (`Shares`)."""

    def __init__(self, at_once: int = _AT_ONCE, patience: float = _PATIENCE_SECONDS) -> None:
        self._shares = Shares(at_once)
        self._patience = patience
        self._waiting: dict[Holder, deque[asyncio.Future[None]]] = {}

    @property
    def idle(self) -> bool:
        """True if no read has a turn or waits for one."""
        return not self._shares.held and not self._waiting

    @asynccontextmanager
    async def turn(self, holder: Holder) -> AsyncIterator[None]:
        """Wait for a turn, and give it back at the end of the block; raises Overloaded."""
        if holder in self._waiting or self._shares.room(holder, 1):
            await self._wait(holder)
        else:
            self._shares.add(holder, 1)
        try:
            yield
        finally:
            self._give_back(holder)

    async def _wait(self, holder: Holder) -> None:
        mine = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(holder, deque()).append(mine)
        try:
            async with asyncio.timeout(self._patience):
                await mine
        except BaseException as error:
            if mine.done() and not mine.cancelled():  # its turn came in the same moment
                self._give_back(holder)
            self._leave(holder, mine)
            if isinstance(error, TimeoutError):
                limit = self._shares.limit
                raise Overloaded("too many reads are under way", limit=limit) from error
            raise

    def _leave(self, holder: Holder, mine: "asyncio.Future[None]") -> None:
        line = self._waiting.get(holder, deque())
        if mine in line:
            line.remove(mine)
        if not line:
            self._waiting.pop(holder, None)

    def _give_back(self, holder: Holder) -> None:
        self._shares.add(holder, -1)
        # Each line in turn: the one that was served goes to the end.
        for other, line in list(self._waiting.items()):
            # A read that was cancelled leaves its line one step of the event loop later.
            first = next((each for each in line if not each.done()), None)
            if first is not None and self._shares.room(other, 1) is None:
                self._shares.add(other, 1)
                line.remove(first)
                first.set_result(None)
                del self._waiting[other]
                if line:
                    self._waiting[other] = line


async def _reader(
    request: Request, principal: Annotated[Principal, Depends(need(READ))]
) -> AsyncIterator[Principal]:
    reads: Reads = request.app.state.door.reads
    async with reads.turn((principal.tenant, principal.prefix)):
        yield principal


# The turn ends with the route's function: a client that reads its answer slowly keeps none.
Reader = Annotated[Principal, Depends(_reader, scope="function")]
"""Dependency of a route: a key that may read, in its turn."""
