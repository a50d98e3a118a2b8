"""Many small requests: some under way at once, and after a failure no more of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")

# Enough to hide S3's latency, few enough for one client.
AT_ONCE = 32


async def answers(
    request: Callable[[_Asked], Awaitable[_Answer]], of: Sequence[_Asked]
) -> list[_Answer]:
    """The answer to each, in order; raises what the first request that fails raises."""
    left = iter(enumerate(of))
    found: dict[int, _Answer] = {}

    async def work() -> None:
        for number, asked in left:
            found[number] = await request(asked)

    workers = [asyncio.ensure_future(work()) for _ in range(min(AT_ONCE, len(of)))]
    try:
        await asyncio.gather(*workers)
    finally:  # a store that is away would be asked for all the others
        for worker in workers:
            worker.cancel()
    return [found[number] for number in range(len(of))]
