"""Fair queue of reads: a tenant with many requests does not delay the reads of other tenants.

A read takes some milliseconds of the event loop. Without the queue, a tenant with 1,000 connections
would have 1,000 requests before each request of another tenant.
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

# Concurrent reads in one process. Enough for 500 reads a second from a store that answers in 30 ms,
# and few enough that the request of another tenant waits for only some milliseconds.
_AT_ONCE = 16
# Longest wait of a read for its turn, in seconds; after that the read gets 503 with Retry-After.
_PATIENCE_SECONDS = 5.0


class Reads:
    """Queue of reads. A sender alone may use all turns, each of several senders half (`Shares`)."""

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
        """Wait for a turn, and release the turn at the end of the block; raises Overloaded."""
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
            if mine.done() and not mine.cancelled():  # the turn came at the moment of the error
                self._give_back(holder)
            self._leave(holder, mine)
            if isinstance(error, TimeoutError):
                limit = self._shares.limit
                raise Overloaded("too many reads at once", limit=limit) from error
            raise

    def _leave(self, holder: Holder, mine: "asyncio.Future[None]") -> None:
        line = self._waiting.get(holder, deque())
        if mine in line:
            line.remove(mine)
        if not line:
            self._waiting.pop(holder, None)

    def _give_back(self, holder: Holder) -> None:
        self._shares.add(holder, -1)
        # Round robin over the queues of all holders: a queue that was served moves to the end.
        for other, line in list(self._waiting.items()):
            # A cancelled read stays in its queue for one more step of the event loop.
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
    reads: Reads = request.app.state.context.reads
    async with reads.turn((principal.tenant, principal.prefix)):
        yield principal


# The turn ends with the route's function, so a client that reads its answer slowly holds no turn.
Reader = Annotated[Principal, Depends(_reader, scope="function")]
"""Dependency of a route: holder of a key with the read scope, once the request has its turn."""
