"""Rows of refused messages, written by a worker; decides when a message goes on without its row."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ingest.errors import WorkersUnavailable
from lake.commit.rejections import Refusal, Settled
from lake.errors import RejectionsDenied
from lake.logs import logger

T = TypeVar("T")
log = logger(__name__)

Note = Callable[[Refusal], Awaitable[Settled]]
"""Records a refusal as a row; a repeated call writes the same row with the first reason. The errors
Unavailable, WorkersUnavailable and time-outs are temporary; any other one counts against the
message."""


class RejectionRows:
    """Writer of the rows of `rejections`."""

    def __init__(self, note: Note, *, call_seconds: float, denied_seconds: float) -> None:
        """`denied_seconds`: time for which messages wait for a right on rejections."""
        self._note = note
        self._call_seconds = call_seconds
        self._denied_seconds = denied_seconds
        self._denied_since = math.inf
        self.unwritten = 0
        """number of dead letters without a row"""

    async def write(self, refusal: Refusal) -> Settled | None:
        """Record a refusal; None if the store has denied rejections, and only them, for too long.

        A missing right costs the rows of rejections. It must not hold up the partition for ever,
        and the dead letter has the whole message and the reason.
        """
        try:
            settled = await in_time(self._note(refusal), self._call_seconds)
        except RejectionsDenied:
            now = time.monotonic()
            self._denied_since = min(self._denied_since, now)
            if now - self._denied_since < self._denied_seconds:
                raise
            return None
        self._denied_since = math.inf
        return settled

    def given_up(self, refusal: Refusal) -> None:
        """Count a dead letter without a row, and log its reason."""
        self.unwritten += 1
        reason = refusal.reason
        log.error(
            "no row for a rejection",
            rejection_id=refusal.rejection_id,
            code=reason.code,
            detail=reason.detail,
        )


async def in_time(call: Awaitable[T], seconds: float) -> T:
    """Await a call with a time-out; raises WorkersUnavailable if Ray cancelled the call."""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except asyncio.CancelledError as error:
        # Either this task was cancelled, or Ray cancelled the call because its worker ended.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise WorkersUnavailable("the call was cancelled") from error
