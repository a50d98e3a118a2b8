"""Many small requests with bounded concurrency; the first failure cancels the others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")

# Number of requests at once: enough to hide S3's latency, few enough for one client.
AT_ONCE = 32


async def bounded_gather(
    request: Callable[[_Asked], Awaitable[_Answer]], of: Sequence[_Asked]
) -> list[_Answer]:
    """Call `request` for each element, `AT_ONCE` at a time; returns the answers in order.

    Raises the error of the first request that fails.
    """
    remaining = iter(enumerate(of))
    by_number: dict[int, _Answer] = {}

    async def work() -> None:
        for number, asked in remaining:
            by_number[number] = await request(asked)

    workers = [asyncio.ensure_future(work()) for _ in range(min(AT_ONCE, len(of)))]
    try:
        await asyncio.gather(*workers)
    finally:  # do not send the other requests to a store that is unavailable
        for worker in workers:
            worker.cancel()
    return [by_number[number] for number in range(len(of))]
