"""Optimistic concurrency on a store: repeated conditional writes, and create-only decisions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lake.errors import (
    AlreadyExists,
    KeyMissing,
    LakeError,
    Mismatch,
    StoreDenied,
    StoreReadOnly,
    StoreUnavailable,
)

T = TypeVar("T")

CHANGED = (AlreadyExists, Mismatch, KeyMissing)
"""Errors of a conditional write: another process has changed the object since it was read."""

_DECISIONS = 4
_BACKOFF_SECONDS = 0.1


async def compare_and_swap(
    step: Callable[[], Awaitable[T | None]],
    subject: str,
    *,
    tries: int = 8,
    error: Callable[[str], Exception] = StoreUnavailable,
    again: tuple[type[LakeError], ...] = CHANGED,
    backoff: float = 0.0,
) -> T:
    """Run a step that reads, and writes if nothing has changed since; returns its result.

    The step is repeated if it returns None or raises one of `again`. The wait before the first
    repetition is `backoff` seconds, and doubles. Raises `error` about `subject` after the last try,
    and StoreDenied and StoreReadOnly at once, because a repetition would be refused, too.
    """
    for turn in range(tries):
        try:
            if (result := await step()) is not None:
                return result
        except (StoreDenied, StoreReadOnly):
            raise
        except again:
            pass
        if backoff:
            await asyncio.sleep(backoff * 2**turn)
    raise error(f"{subject} was changed by others {tries} times in a row")


async def decide(
    key: str, create: Callable[[], Awaitable[T]], resolve: Callable[[], Awaitable[T | None]]
) -> T:
    """Return the result of `create` if `key` was free, else the result of `resolve`.

    After a 409, 412 or time-out, the PUT may have taken effect, so `resolve` must read the key.
    Both are tried again if `resolve` returns None or raises KeyMissing or Mismatch. Raises
    StoreUnavailable, and other errors of `create` and `resolve`.
    """
    fault: LakeError = StoreUnavailable(f"{key} could neither be created nor read")

    async def step() -> T | None:
        nonlocal fault
        try:
            return await create()
        except AlreadyExists:
            pass
        except StoreUnavailable as error:
            fault = error
        try:
            return await resolve()
        except StoreUnavailable as error:
            fault = error
        return None

    return await compare_and_swap(
        step,
        key,
        tries=_DECISIONS,
        error=lambda _: fault,
        again=(KeyMissing, Mismatch),
        backoff=_BACKOFF_SECONDS,
    )
