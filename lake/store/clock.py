"""Clock of the store: determines the window of a record, so that writers on many machines agree.

The time is the `last modified` of a new object, and then advances by the monotonic clock of this
machine. S3 answers in whole seconds, so a reading may be a second off; the grace time of
sealing covers that.
"""

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta

from lake import layout
from lake.errors import StoreUnavailable, UnreadableObject
from lake.store.object_store import ObjectStore
from lake.store.store_settings import StoreSettings, read_store_settings
from lake.timing import TIMES, ProtocolTimes


class StoreClock:
    """Time and settings of the store; call `await fresh()` before using either."""

    def __init__(
        self, store: ObjectStore, settings: StoreSettings, times: ProtocolTimes = TIMES
    ) -> None:
        self._store = store
        self.settings = settings
        """settings of the store, read again together with the time"""
        self.times = times
        """times of the protocol, for all who have this clock"""
        self._read_at = -2 * times.clock_usable.total_seconds()
        self._reading = datetime(1970, 1, 1, tzinfo=UTC)
        self._lock = asyncio.Lock()

    def now(self) -> datetime:
        """Current time of the store, UTC."""
        return self._reading + timedelta(seconds=time.monotonic() - self._read_at)

    def has_expired(self, window_start: datetime) -> bool:
        """True if images of this window have expired."""
        return self.settings.expires(window_start) <= self.now()

    async def fresh(self) -> None:
        """Read the store's clock and settings if the last reading is old.

        Raises StoreUnavailable if there is no usable reading.
        """
        if self._is_younger(self.times.clock_fresh):
            return
        async with self._lock:
            if self._is_younger(self.times.clock_fresh):
                return
            try:
                await self._read()
            except StoreUnavailable:
                # With an older reading a writer can't determine its window and must not write.
                if not self._is_younger(self.times.clock_usable):
                    raise

    def _is_younger(self, age: timedelta) -> bool:
        return time.monotonic() - self._read_at < age.total_seconds()

    async def _read(self) -> None:
        key = f"{layout.PROBE}/clock-{uuid.uuid4().hex}"
        asked_at = time.monotonic()
        await self._store.put(key, b"")
        read_at = time.monotonic()
        if (took := read_at - asked_at) > self.times.request.total_seconds():
            # The process may have slept after the PUT: its clock would be late by that time.
            raise StoreUnavailable(
                f"reading the store's clock took {took:.0f} s, which is too long"
            )
        reading = (await self._store.head(key)).modified
        try:
            kept = await read_store_settings(self._store)
        except UnreadableObject as error:
            # Unavailable and not a final error, because no image is to blame.
            raise StoreUnavailable(error.detail) from error
        # If `store.json` was deleted, keep the known settings.
        self.settings = kept[0] if kept else self.settings
        self._reading, self._read_at = reading, read_at
        await self._store.delete(key)
