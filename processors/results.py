"""Count of the bytes of results that wait to be stored."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Results:
    """Bytes of results that this process holds; while they reach the limit no image is begun."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = asyncio.Event()
        self._room.set()
        self.bytes = 0

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Count so many bytes until they are stored."""
        self._add(size)
        try:
            yield
        finally:
            self._add(-size)

    async def room(self) -> None:
        """Return as soon as fewer bytes than the limit are held."""
        await self._room.wait()

    def _add(self, size: int) -> None:
        self.bytes += size
        if self.bytes < self._limit:
            self._room.set()
        else:
            self._room.clear()
