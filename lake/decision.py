"""A create-only decision on a store whose answers may get lost: who was first, counts."""

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
    """What `create` gives when `key` was free, else what `resolve` makes of what is there.

    A 409, 412 or time-out is no answer: the PUT may have landed. `resolve` reads, and says None
    when it must be tried again, as do KeyMissing and Mismatch. Raises StoreUnavailable, and
    whatever the two raise.
    """
    fault: LakeError = StoreUnavailable(f"{key} is neither there nor free")
    for turn in range(_TRIES):
        try:
            return await create()
        except AlreadyExists:
            pass
        except StoreUnavailable as error:
            fault = error
        try:
            if (found := await resolve()) is not None:
                return found
        except (KeyMissing, Mismatch):
            pass
        except StoreUnavailable as error:
            fault = error
        await asyncio.sleep(_BACKOFF_SECONDS * 2**turn)
    raise fault
