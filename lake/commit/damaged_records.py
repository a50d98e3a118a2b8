"""Repair of records that do not parse: a power cut leaves files of no bytes, a hand slips.

A record is written anew from what else the store knows about its image, in this order:
  1. an erasure of the audit log: the image stays erased
  2. the row of the journal or of a segment, which has all columns of the record
An image that neither of them knows was not acknowledged: its row is durable before the answer. Its
name is free once no attempt can still commit it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from lake import layout
from lake.commit.journal_reading import read_wave, waves
from lake.errors import KeyMissing, OldColumns, RecordDamaged, RefusedBefore, UnreadableObject
from lake.logs import logger
from lake.store.clock import StoreClock
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.fitting import proven
from lake.tables.rows import decode_chain_file, to_records
from lake.tables.schema import IMAGES, SCHEMA_VERSION, ImageRecord, Tombstone
from lake.tables.tables import Rejected

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Spans:
    """Times in which the window of an image may begin."""

    bounds: Collection[tuple[datetime, datetime]]

    def hold(self, window_start: datetime) -> bool:
        return any(first <= window_start <= last for first, last in self.bounds)

    def hours(self) -> list[datetime]:
        hours = set()
        for first, last in self.bounds:
            hour = layout.hour_of(first)
            while hour <= last:
                hours.add(hour)
                hour += layout.HOUR
        return sorted(hours)


class DamagedRecords:
    """Writes damaged records anew."""

    def __init__(self, store: ObjectStore, clock: StoreClock) -> None:
        self._store = store
        self._clock = clock

    async def restore(
        self, tenant: str, image_id: str, stored: Stored, data: bytes
    ) -> ImageRecord | Tombstone | None:
        """Write the record anew, and return it; None if nothing else in the store knows the image.

        Raises UnreadableObject if a later version may have written the record, or the audit log is
        damaged, too; Mismatch, KeyMissing, Unavailable.
        """
        refuse_later(stored.key, data)
        erasures = await self._erasures(tenant, image_id)
        row = await self._row(tenant, image_id)
        found: ImageRecord | Tombstone | None = row
        if erasures and (row is None or row.attempt in {each.attempt for each in erasures}):
            found = max(erasures, key=lambda each: each.erased_at)
        if found is None:
            return None
        body = proven(found) if isinstance(found, ImageRecord) else found.model_dump_json().encode()
        await self._store.replace(stored.key, body, stored.etag)
        log.warning("damaged record written anew", key=stored.key, kind=found.kind)
        return found

    def check_free(self, stored: Stored) -> None:
        """Raise RecordDamaged while an attempt may still commit the image of a damaged record."""
        free = stored.modified + self._clock.times.attempt_over
        if (wait := free - self._clock.now()) > timedelta(0):
            raise RecordDamaged(
                f"{stored.key} does not parse, and its image has no row yet; try again after "
                "`value` seconds",
                value=wait.total_seconds(),
            )

    async def check_not_refused(self, rejection_id: str | None) -> None:
        """Raise RefusedBefore if the Kafka message of this rejection was refused."""
        if rejection_id is None:
            return
        try:
            data, _ = await self._store.get(layout.rejection_key(rejection_id))
            rejected = Rejected.model_validate_json(data)
        except (KeyMissing, ValueError):
            return  # a rejection that does not parse is written anew, too
        if not self._clock.has_expired(rejected.window_start):
            raise RefusedBefore(
                f"this message was refused before: {rejected.detail}", value=rejected.code
            )

    async def _erasures(self, tenant: str, image_id: str) -> list[Tombstone]:
        """Read the erasures of an image whose tombstones have not expired."""
        settings, now = self._clock.settings, self._clock.now()
        found = []
        for name in await self._store.folders(layout.ERASURES):
            day = layout.parse_day(name)
            # An erasure is in the folder of its day by the clock of its eraser.
            if day is None or day < (settings.oldest(now) - timedelta(days=1)).date():
                continue
            async for stored in self._store.walk(f"{layout.ERASURES}/{name}"):
                if stored.key.rpartition("/")[2].startswith(f"{image_id}-"):
                    entry = await self._erasure(stored.key)
                    lasts = settings.expires(max(entry.window_start, entry.erased_at)) > now
                    if entry.tenant == tenant and lasts:
                        found.append(entry)
        return found

    async def _erasure(self, key: str) -> Tombstone:
        data, _ = await self._store.get(key)
        try:
            return Tombstone.model_validate_json(data)
        except ValueError as error:
            raise UnreadableObject(f"entry {key}: {error}", value=key) from error

    async def _row(self, tenant: str, image_id: str) -> ImageRecord | None:
        """Find the newest row of an image in the journal and in the segments."""
        spans = self._spans(await self._store.objects(layout.image_prefix(tenant, image_id)))
        # Rows move from the journal to the segments, so this order misses none.
        tables = [table async for table in self._waiting(spans, image_id)]
        tables += [table async for table in self._sealed(spans, image_id)]
        records = [record for table in tables for record in to_records(table)]
        own = (record for record in records if record.tenant == tenant)
        return max(own, key=lambda record: record.window_start, default=None)

    def _spans(self, objects: Collection[Stored]) -> _Spans:
        """Spans by the times of the image's objects, which its attempt wrote after its window."""
        times = self._clock.times
        before = times.attempt_over + self._clock.settings.window
        return _Spans({(s.modified - before, s.modified + times.clock_difference) for s in objects})

    async def _waiting(self, spans: _Spans, image_id: str) -> AsyncIterator[pa.Table]:
        for window_start in layout.windows_of(await self._store.folders(layout.JOURNAL)):
            if spans.hold(window_start):
                objects = await self._store.objects(layout.journal_prefix(window_start))
                for wave in waves(objects):
                    decoded = await read_wave(self._store, wave)
                    yield _of(image_id, decoded.rows().images)

    async def _sealed(self, spans: _Spans, image_id: str) -> AsyncIterator[pa.Table]:
        for hour in spans.hours():
            for stored in await self._store.objects(layout.hour_prefix(hour)):
                parsed = layout.parse_chain_key(stored.key)
                if parsed and spans.hold(parsed[0]):
                    try:
                        data, _ = await self._store.get(stored.key)
                        yield await asyncio.to_thread(_row_of, stored.key, data, image_id)
                    except (KeyMissing, UnreadableObject) as error:
                        # No sealer adds rows to a window whose ids are unknown.
                        log.warning("segment not read", key=stored.key, error=error)


def refuse_later(key: str, data: bytes) -> None:
    """Raise UnreadableObject for a record of a later version, which is not damaged."""
    try:
        version = json.loads(data)["schema_version"]
    except (ValueError, KeyError, TypeError):
        return
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UnreadableObject(
            f"record {key} has schema version {version}, and this version reads {SCHEMA_VERSION}",
            limit=SCHEMA_VERSION,
            value=key,
        )


def is_damaged(error: UnreadableObject) -> bool:
    """True unless the object is of a version before 0.1.0, which is refused as a whole."""
    return not isinstance(error, OldColumns)


def _row_of(key: str, data: bytes, image_id: str) -> pa.Table:
    known = _of(image_id, decode_chain_file(key, data, ["image_id"]))
    return _of(image_id, decode_chain_file(key, data)) if len(known) else IMAGES.empty_table()


def _of(image_id: str, rows: pa.Table) -> pa.Table:
    return rows.filter(pc.equal(rows["image_id"], image_id))
