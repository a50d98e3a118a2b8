"""Records of images in the cache that all processes share; without a cache, in the store only.

After the answer to an erasure, no process finds the record in the cache:
  - the eraser writes a mark under the record's name, before and after the erasure
  - a record is written only where the cache has neither record nor mark (NX)
  - a record ends `seconds` after it was read from the store, by the time of day (PXAT), also if the
    command arrives late. A mark lasts longer than any record that was read before the mark
If the eraser does not reach the cache, if the cache loses the mark, and for erasures by a command,
the record ends by its time: at most `seconds` after the erasure.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from lake import layout
from lake.commit.records import parse_record
from lake.errors import LakeError
from lake.lake import Lake
from lake.store.machine_clock import Moment
from lake.tables.schema import ImageRecord
from serve_app.cache.connection import KEY_PREFIX, CacheAway, CacheConnection

_MARK: Final = b"erased"
# The clock of a process may be three minutes ahead of the store's (lake/timing.py), so a record may
# last for that much longer. A mark lasts for longer than that.
_CLOCKS_SECONDS: Final = 300


class RecordCache:
    """Finds records in the cache or in the store."""

    def __init__(self, lake: Lake, cache: CacheConnection | None, seconds: float) -> None:
        self._lake = lake
        self._cache = cache if seconds else None
        self._seconds = seconds
        self.hits = 0
        """Number of records that the cache had."""
        self.misses = 0
        """Number of look-ups that read the store."""
        self.unmarked = 0
        """Number of marks that the cache did not take."""

    async def record(self, tenant: str, image_id: str) -> ImageRecord:
        """Find a record; raises the errors of `Reader.record`."""
        if self._cache is None:
            return await self._lake.reader.record(tenant, image_id)
        await self._lake.clock.fresh()
        data = await self._get(self._cache, tenant, image_id)
        if data and (found := self._usable(tenant, image_id, data)):
            self.hits += 1
            return found
        self.misses += 1
        read_at = self._lake.clock.machine.moment()
        record = await self._lake.reader.record(tenant, image_id)
        if data != _MARK:
            await self._keep(self._cache, record, read_at)
        return record

    @asynccontextmanager
    async def erasing(self, tenant: str, image_id: str) -> AsyncIterator[None]:
        """Mark an image in the cache before and after its erasure, the `with` block."""
        await self._mark(tenant, image_id)
        try:
            yield
        finally:
            await self._mark(tenant, image_id)

    async def _get(self, cache: CacheConnection, tenant: str, image_id: str) -> bytes | None:
        name = self._name(tenant, image_id)
        try:
            data: bytes | None = await cache.call(lambda: cache.client.get(name))
        except CacheAway:
            return None
        return data

    def _usable(self, tenant: str, image_id: str, data: bytes) -> ImageRecord | None:
        """Parse what the cache has; None for a mark, an expired record, and what is no record."""
        if data == _MARK:
            return None
        try:
            found = parse_record(layout.record_key(tenant, image_id), data)
        except LakeError:
            return None  # the store has the record
        if not isinstance(found, ImageRecord) or (found.tenant, found.image_id) != (
            tenant,
            image_id,
        ):
            return None
        return None if self._lake.clock.has_expired(found.window_start) else found

    async def _keep(self, cache: CacheConnection, record: ImageRecord, read_at: Moment) -> None:
        left = self._lake.expires(record) - self._lake.clock.now()
        lasts = min(timedelta(seconds=self._seconds), left).total_seconds()
        name, body = self._name(record.tenant, record.image_id), record.model_dump_json()
        ends = int((read_at.wall + lasts) * 1000)
        try:
            await cache.call(lambda: cache.client.set(name, body, nx=True, pxat=ends))
        except CacheAway:
            return

    async def _mark(self, tenant: str, image_id: str) -> None:
        if (cache := self._cache) is None:
            return
        name, lasts = self._name(tenant, image_id), int(self._seconds) + _CLOCKS_SECONDS
        try:
            await cache.call(lambda: cache.client.set(name, _MARK, ex=lasts))
        except CacheAway:
            self.unmarked += 1

    def _name(self, tenant: str, image_id: str) -> str:
        return f"{KEY_PREFIX}:record:{self._lake.clock.settings.store_id}:{tenant}:{image_id}"
