"""Create-only decision on a store whose answers may get lost: the first writer wins."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lake.errors import AlreadyExists, KeyMissing, LakeError, Mismatch, StoreUnavailable

T = TypeVar("T")

_TRIES = 4
_BACKOFF_SECONDS = 0.1


async def decide(
    key: str, create: Callable[[], Awaitable[T]], resolve: Callable[[], Awaitable[T | None]]
) -> T:
    """Return the result of `create` if `key` was free, else the result of `resolve`.

    After a 409, 412 or time-out, the PUT may have taken effect, so `resolve` must read the key.
    Both are tried again if `resolve` returns None or raises KeyMissing or Mismatch. Raises
    StoreUnavailable, and other errors of `create` and `resolve`.
    """
    fault: LakeError = StoreUnavailable(f"{key} could neither be created nor read")
    for turn in range(_TRIES):
        try:
            return await create()
        except AlreadyExists:
            pass
        except StoreUnavailable as error:
            fault = error
        try:
            if (decided := await resolve()) is not None:
                return decided
        except (KeyMissing, Mismatch):
            pass
        except StoreUnavailable as error:
            fault = error
        await asyncio.sleep(_BACKOFF_SECONDS * 2**turn)
    raise fault
