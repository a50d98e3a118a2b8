"""Connections of a test to a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from serve_app.cache.connection import CacheConnection

PATIENCE_SECONDS = 30.0
"""Wait for a server that answers: a busy machine may take longer than 50 ms for an answer."""


Connect = Callable[..., Awaitable[CacheConnection]]
"""Fixture `connect`, called with a URL and the longest wait."""


@asynccontextmanager
async def watched(url: str, wait_seconds: float) -> AsyncIterator[CacheConnection]:
    """Connect to a server and watch it, while the block runs."""
    cache = CacheConnection(url, wait_seconds)
    watch = asyncio.create_task(cache.watch())
    try:
        yield cache
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        await cache.close()
