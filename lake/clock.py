"""The store's clock: homes are counted by it, so that writers on many machines agree.

Read from the `last modified` of an object just put, then carried on by this machine's monotonic
clock. S3 answers in whole seconds, so the reading may be a second off; the grace covers that.
"""

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta

from lake import layout
from lake.errors import StoreUnavailable, UnreadableObject
from lake.object_store import ObjectStore
from lake.store_settings import StoreSettings, read_store_settings

# Monotonic clocks of servers drift by some 50 ppm: 15 ms in five minutes.
_FRESH = 300.0
# With a reading this old a writer can't know its home any more and must not write.
_STALE = 3600.0


class StoreClock:
    """`now()` by the store, with its settings; `await fresh()` before either is relied on."""

    def __init__(self, store: ObjectStore, settings: StoreSettings) -> None:
        self._store = store
        self.settings = settings
        """of the store, read again with the time"""
        self._read_at = -_STALE * 2
        self._reading = datetime(1970, 1, 1, tzinfo=UTC)
        self._lock = asyncio.Lock()

    def now(self) -> datetime:
        """The store's time, UTC."""
        return self._reading + timedelta(seconds=time.monotonic() - self._read_at)

    def has_expired(self, home: datetime) -> bool:
        """Whether images of this home are hidden from everybody."""
        return self.settings.expires(home) <= self.now()

    async def fresh(self) -> None:
        """Read the store's clock and settings if the last reading is old.

        Raises StoreUnavailable when there is no reading that can be relied on.
        """
        if self._age() < _FRESH:
            return
        async with self._lock:
            if self._age() < _FRESH:
                return
            try:
                await self._read()
            except StoreUnavailable:
                if self._age() > _STALE:
                    raise

    def _age(self) -> float:
        return time.monotonic() - self._read_at

    async def _read(self) -> None:
        key = f"{layout.PROBE}/clock-{uuid.uuid4().hex}"
        await self._store.put(key, b"")
        read_at = time.monotonic()
        reading = (await self._store.head(key)).modified
        try:
            found = await read_store_settings(self._store)
        except UnreadableObject as error:
            # No image is to blame, so none may be refused for it.
            raise StoreUnavailable(error.message) from error
        # Whoever took the object away did not mean another retention.
        self.settings = found[0] if found else self.settings
        self._reading, self._read_at = reading, read_at
        await self._store.delete(key)
