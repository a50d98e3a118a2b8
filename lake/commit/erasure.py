"""Erasure of images (docs/design.md, "Erasing").

  1. append a tombstone row to the journal of the image's window: from here on a sealer will finish
     the erasure
  2. write the entry of the audit log; replace the record by a tombstone (If-Match). It keeps the
     name, so a message that Kafka delivers again stays erased; other bytes under that name are a
     conflict
  3. delete the objects
The sealer repeats 2 and 3 and removes the row from the chain.

The audit log, `audit-log/erasures/<day>/<image_id>-<attempt>.json`, has the fields of a tombstone
without the digest of the bytes: ids and times, no personal data. It is written before the record is
replaced, and stays after the tombstone has expired.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from lake import layout
from lake.commit.damaged_records import DamagedRecords, is_damaged
from lake.commit.invalidations import Invalidations
from lake.commit.journal import Journal
from lake.commit.records import parse_record
from lake.errors import (
    AlreadyExists,
    ImageNotFound,
    KeyMissing,
    Mismatch,
    StoreUnavailable,
    UnreadableObject,
)
from lake.store.clock import StoreClock
from lake.store.decision import compare_and_swap
from lake.store.folders import attempt_of
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.schema import ImageRecord, RefusedName, Tombstone

_TRIES = 5
# Attempt of an image of which nothing but a damaged record is left.
_NO_ATTEMPT = "0" * 16


@dataclass(frozen=True, slots=True)
class _Known:
    """Attempt and window of an image; a guess if its record is damaged and it has no row.

    `tombstone`: the image was erased before.
    """

    attempt: str
    window_start: datetime
    tombstone: Tombstone | None = None


async def look_up(store: ObjectStore, tenant: str, image_id: str) -> ImageRecord | Tombstone:
    """Read the record of an image; raises ImageNotFound, UnreadableObject, Unavailable."""
    key = layout.record_key(tenant, image_id)
    try:
        data, _ = await store.get(key)
    except KeyMissing:
        raise ImageNotFound(f"no image {image_id}", value=image_id) from None
    record = parse_record(key, data)
    if isinstance(record, RefusedName):
        raise ImageNotFound(f"no image {image_id}", value=image_id)
    return record


class Eraser:
    """Erases images; every step is idempotent and may be interrupted."""

    def __init__(
        self,
        store: ObjectStore,
        journal: Journal,
        clock: StoreClock,
        invalidations: Invalidations | None = None,
    ) -> None:
        """Erase in the store, and tell CloudFront by `invalidations` what was deleted."""
        self._store = store
        self._invalidations = invalidations
        self._journal = journal
        self._clock = clock
        self._damaged = DamagedRecords(store, clock)

    async def erase(self, tenant: str, image_id: str) -> None:
        """Erase an image: objects and record now, the row at the next seal of its window.

        Erasing again is no error and finishes an interrupted erasure. Raises ImageNotFound,
        Unavailable.
        """
        await self._clock.fresh()
        look = partial(self._look_up, tenant, image_id)
        record = await compare_and_swap(look, f"image {image_id}", tries=_TRIES)
        if record.tombstone is not None:
            await self._delete_objects(record.tombstone)
            return
        tombstone = Tombstone(
            image_id=image_id,
            tenant=tenant,
            attempt=record.attempt,
            window_start=record.window_start,
            erased_at=self._clock.now(),
        )
        await self._journal.append_tombstone(tombstone)
        await self.finish(tombstone)

    async def finish(self, tombstone: Tombstone) -> None:
        """Run steps 2 and 3; the sealer repeats them while the tombstone row waits."""
        key = layout.record_key(tombstone.tenant, tombstone.image_id)

        async def replace() -> bool | None:
            data, stored = await self._store.get(key)
            try:
                record = parse_record(key, data)
            except UnreadableObject as error:
                return await self._replace_damaged(tombstone, stored, data, error)
            # A record of another attempt is a new image that took over the name after expiry.
            if isinstance(record, ImageRecord) and record.attempt == tombstone.attempt:
                await self._log(tombstone)
                body = tombstone.knowing(record.sha256).model_dump_json().encode()
                await self._store.replace(key, body, stored.etag)
            return True

        with suppress(KeyMissing):  # the sweeper was faster
            await compare_and_swap(replace, key, tries=_TRIES, again=(Mismatch,))
        await self._delete_objects(tombstone)

    async def _look_up(self, tenant: str, image_id: str) -> _Known | None:
        """Read the record of an image; None after a damaged record was written anew."""
        key = layout.record_key(tenant, image_id)
        try:
            record = await look_up(self._store, tenant, image_id)
        except UnreadableObject as error:
            if not is_damaged(error):
                raise
        else:
            tombstone = record if isinstance(record, Tombstone) else None
            return _Known(record.attempt, record.window_start, tombstone)
        data, stored = await self._store.get(key)
        if await self._damaged.restore(tenant, image_id, stored, data):
            return None
        objects = await self._store.objects(layout.image_prefix(tenant, image_id))
        own = [each for each in objects if each.key != key]
        newest = max(own, key=lambda each: each.modified, default=stored)
        window = self._clock.settings.window
        return _Known(
            attempt_of(newest.key) if own else _NO_ATTEMPT,
            layout.window_start_of(newest.modified, window),
        )

    async def _replace_damaged(
        self, tombstone: Tombstone, stored: Stored, data: bytes, error: UnreadableObject
    ) -> bool | None:
        """Replace a damaged record by the tombstone; None if it was written anew instead."""
        if not is_damaged(error):
            raise error
        if await self._damaged.restore(tombstone.tenant, tombstone.image_id, stored, data):
            return None
        # The digest of the erased bytes is unknown, so the tombstone is one of any bytes.
        await self._log(tombstone)
        await self._store.replace(stored.key, tombstone.model_dump_json().encode(), stored.etag)
        return True

    async def _log(self, tombstone: Tombstone) -> None:
        """Write the audit entry, once; a repetition finds it under the same name.

        It has no digest of the bytes, because it stays after the tombstone has expired.
        """
        body = tombstone.model_dump_json(exclude={"content"}).encode()
        key = layout.erasure_key(tombstone.image_id, tombstone.attempt, tombstone.erased_at)
        try:
            await self._store.create(key, body)
        except AlreadyExists:
            try:
                await self._store.head(key)
            except KeyMissing as error:  # S3's 409 for concurrent writes
                raise StoreUnavailable(f"{key} can't be created now") from error

    async def _delete_objects(self, tombstone: Tombstone) -> None:
        """Delete all objects of the image except those of a newer image with this name."""
        await self._clock.fresh()
        record_key = layout.record_key(tombstone.tenant, tombstone.image_id)
        prefix = layout.image_prefix(tombstone.tenant, tombstone.image_id)
        # List first, then read the record. Objects of a newer image are either young when listed,
        # and kept for their age, or named by the record that is read afterwards.
        stored = await self._store.objects(prefix)
        keep = {record_key}
        try:
            data, _ = await self._store.get(record_key)
            record = parse_record(record_key, data)
            if isinstance(record, ImageRecord):
                keep |= {record.original_key, *(r.key for r in record.renditions)}
        except KeyMissing:
            pass
        dead = [s.key for s in stored if s.key not in keep and self._is_dead(s, tombstone)]
        # An object that can't be deleted keeps no other object.
        results = await asyncio.gather(*map(self._store.delete, dead), return_exceptions=True)
        failed = [error for error in results if error is not None]
        if self._invalidations is not None and dead:
            erased = not failed
            self._invalidations.add(tombstone.tenant, tombstone.image_id, erased=erased)
        if failed:
            raise failed[0]

    def _is_dead(self, stored: Stored, tombstone: Tombstone) -> bool:
        # Younger objects may belong to an attempt that still commits and takes over the name of an
        # expired image. The sealer repeats the deletion later, when they are older.
        own = attempt_of(stored.key) == tombstone.attempt
        return own or stored.modified + self._clock.times.attempt_over <= self._clock.now()
