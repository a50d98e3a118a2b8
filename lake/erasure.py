"""Erasure is a row, too (docs/design.md, "Erase").

  1. append a tombstone row to the image's home: from here on somebody will finish it
  2. the record becomes a tombstone (If-Match); the name remains taken
  3. delete the objects
The sealer repeats 2 and 3 and takes the row out of the chain.
"""

import asyncio

from lake import layout
from lake.clock import StoreClock
from lake.errors import ImageErased, ImageNotFound, KeyMissing, Mismatch, StoreUnavailable
from lake.journal import Journal
from lake.object_store import ObjectStore
from lake.records import parse_record
from lake.schema import ImageRecord, Tombstone

_TRIES = 5


class Eraser:
    """Erases images; may run anywhere, any number of times, and be cut at any point."""

    def __init__(self, store: ObjectStore, journal: Journal, clock: StoreClock) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock

    async def erase(self, tenant: str, image_id: str) -> None:
        """Objects and record are gone when it returns, the row after the home's next seal.

        Raises ImageNotFound, ImageErased (it was erased before), Unavailable.
        """
        await self._clock.fresh()
        key = layout.record_key(tenant, image_id)
        try:
            data, _ = await self._store.get(key)
        except KeyMissing:
            raise ImageNotFound(f"no image {image_id}", value=image_id) from None
        record = parse_record(key, data)
        if isinstance(record, Tombstone):
            raise ImageErased("this image was erased", value=image_id)
        tombstone = Tombstone(
            image_id=image_id,
            tenant=tenant,
            attempt=record.attempt,
            home=record.home,
            erased_at=self._clock.now(),
        )
        await self._journal.append_tombstone(tombstone)
        await self.finish(tombstone)

    async def finish(self, tombstone: Tombstone) -> None:
        """Steps 2 and 3; the sealer repeats them while the tombstone row waits."""
        key = layout.record_key(tombstone.tenant, tombstone.image_id)
        body = tombstone.model_dump_json().encode()
        for _ in range(_TRIES):
            try:
                data, stored = await self._store.get(key)
                record = parse_record(key, data)
                # Another attempt's record is another life of this name: a takeover after expiry.
                if isinstance(record, ImageRecord) and record.attempt == tombstone.attempt:
                    await self._store.replace(key, body, stored.etag)
            except KeyMissing:
                break
            except Mismatch:
                continue
            break
        else:
            raise StoreUnavailable(f"{key} does not stay still")
        await self._delete_objects(tombstone)

    async def _delete_objects(self, tombstone: Tombstone) -> None:
        """All objects of the image, whichever attempt left them, but those of a later life."""
        prefix = layout.image_prefix(tombstone.tenant, tombstone.image_id)
        record_key = layout.record_key(tombstone.tenant, tombstone.image_id)
        keep = {record_key}
        try:
            data, _ = await self._store.get(record_key)
            record = parse_record(record_key, data)
            if isinstance(record, ImageRecord):
                keep |= {record.original_key, *(r.key for r in record.renditions)}
        except KeyMissing:
            pass
        stored = await self._store.objects(prefix)
        await asyncio.gather(*(self._store.delete(s.key) for s in stored if s.key not in keep))
