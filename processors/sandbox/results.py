"""Counter of the bytes of results that wait to be stored."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Results:
    """Bytes of results in this process; at the limit no further image is started."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = asyncio.Event()
        self._room.set()
        self.bytes = 0

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Count `size` bytes while the context is open."""
        self._add(size)
        try:
            yield
        finally:
            self._add(-size)

    async def room(self) -> None:
        """Wait until fewer bytes than the limit are held."""
        await self._room.wait()

    def _add(self, size: int) -> None:
        self.bytes += size
        if self.bytes < self._limit:
            self._room.set()
        else:
            self._room.clear()
