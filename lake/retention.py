"""The sweeper: deletes what is past its retention, for stores without lifecycle rules.

  images/    images past retention + margin, by the home in their record; objects that no record
             names, a day old (what a crash leaves)
  journal/   homes past retention + margin
  lake/      files past it, by the date in their name: a rewritten file is younger than its rows
  rejections/  records and journal of what was refused, as above
  probe/     leftovers of start-up probes
  a folder   what a killed process was writing (`name#1`), a day old

Any number may run beside writers, sealers and erasers. S3 deletes without conditions, and a name
may be taken over once its image has expired, so a record is not just deleted: it first becomes
(If-Match) a marker that no writer takes over for 90 seconds, then goes within ten. Retention and
margin are the store's, read again every five minutes: an image that lives when its retention is
made longer is not deleted by who has not heard of it.
"""

import asyncio
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lake import layout
from lake.clock import StoreClock
from lake.errors import KeyMissing, LakeError, Mismatch, UnreadableObject
from lake.folders import ImageFolder, Stray, attempt_of, image_folders
from lake.object_store import ObjectStore
from lake.records import MARKER_AGE, parse_record
from lake.schema import ImageRecord, Named, Tombstone
from lake.stored import Stored

log = logging.getLogger(__name__)

# An attempt ends after 10 minutes, its signatures after 15; what is a day old and unnamed stays so.
ORPHAN_AGE = timedelta(days=1)
# A record is PUT within an attempt of its objects; later than this it is another attempt's, or a
# tombstone's, and must be read.
_SUSPICIOUS = timedelta(minutes=15)
_MARKER_HOLDS = 10.0
_PROBE_AGE = timedelta(hours=1)
_STAGING = re.compile(r".+#\d+")
_DELETERS = 16
_HOUR = re.compile(r"dt=(\d{4}-\d\d-\d\d)/hour=(\d\d)/")


@dataclass(slots=True)
class SweepReport:
    """What a sweep deleted, objects of each kind; `failed` is what it could not tell or delete."""

    images: int = 0
    image_objects: int = 0
    orphans: int = 0
    journal: int = 0
    lake: int = 0
    rejections: int = 0
    leftovers: int = 0
    failed: int = 0


class Sweeper:
    """Deletes the expired and the orphaned of one store."""

    def __init__(self, store: ObjectStore, clock: StoreClock, *, dry_run: bool = False) -> None:
        """Retention and margin are the store's; a dry run counts, and deletes nothing."""
        self._store = store
        self._clock = clock
        self._dry_run = dry_run
        self._deleters = asyncio.Semaphore(_DELETERS)

    async def sweep(self) -> SweepReport:
        """One walk over the whole store; raises StoreUnavailable when it can't be listed.

        What fails for one image is logged and left for the next sweep.
        """
        await self._clock.fresh()
        report = SweepReport()
        await self._sweep_images(report)
        report.journal += await self._sweep_journal(layout.IMAGE_ROWS, report)
        report.rejections += await self._sweep_journal(layout.REJECTION_ROWS, report)
        await self._sweep_rejections(report)
        await self._sweep_lake(report)
        await self._sweep_leftovers(report)
        return report

    async def _sweep_images(self, report: SweepReport) -> None:
        async for found in image_folders(self._store, layout.IMAGES):
            if isinstance(found, Stray):
                report.orphans += await self._delete_old([found.stored])
                continue
            if not self._needs_reading(found):
                continue
            await self._clock.fresh()
            try:
                await self._sweep_image(found, report)
            except LakeError as error:
                report.failed += 1
                log.warning("image %s not swept: %s", found.image_id, error)

    def _needs_reading(self, folder: ImageFolder) -> bool:
        """Whether there may be something to delete; no live image as writers leave it is read."""
        if folder.record is None:
            return any(self._is_old(stored) for stored in folder.objects)
        if self._clock.has_expired(folder.record.modified - _SUSPICIOUS):
            return True
        attempts = {attempt_of(stored.key) for stored in folder.objects}
        return len(attempts) != 1 or any(
            stored.modified + _SUSPICIOUS < folder.record.modified for stored in folder.objects
        )

    async def _sweep_image(self, folder: ImageFolder, report: SweepReport) -> None:
        named: frozenset[str] = frozenset()
        try:
            data, stored = await self._store.get(folder.record_key)
        except KeyMissing:
            pass
        else:
            try:
                record = parse_record(folder.record_key, data)
            except UnreadableObject:
                if not self._is_due(stored.modified):
                    raise
                # No writer takes over what it can't read: here age alone is safe.
                report.images += await self._delete([folder.record_key])
                report.image_objects += await self._delete_old(folder.objects)
                return
            if self._is_due(record.home):
                await self._expire(folder, record, stored, report)
                return
            if isinstance(record, ImageRecord):
                named = named_by(record)
        unnamed = [stored for stored in folder.objects if stored.key not in named]
        report.orphans += await self._delete_old(unnamed)

    async def _expire(
        self,
        folder: ImageFolder,
        record: Named,
        stored: Stored,
        report: SweepReport,
    ) -> None:
        if not self._dry_run and not await self._unname(folder.record_key, record, stored):
            return
        report.images += isinstance(record, ImageRecord)
        named = named_by(record) if isinstance(record, ImageRecord) else frozenset()
        # From the listing before the marker: a newer attempt's objects are not in it, or young.
        dead = [s for s in folder.objects if s.key in named or self._is_old(s)]
        report.image_objects += await self._delete([s.key for s in dead])

    async def _unname(self, key: str, record: Named, stored: Stored) -> bool:
        """Mark a record, then delete it; False if somebody else has it, or may have it soon."""
        now = self._clock.now()
        marker = Tombstone(
            image_id=record.image_id,
            tenant=record.tenant,
            attempt=record.attempt,
            home=now - timedelta(days=self._clock.settings.days(now)) - MARKER_AGE,
            erased_at=now,
        )
        marked_at = time.monotonic()
        try:
            await self._store.replace(key, marker.model_dump_json().encode(), stored.etag)
        except (Mismatch, KeyMissing):
            return False  # taken over, or another sweeper's
        if time.monotonic() - marked_at > _MARKER_HOLDS:
            return False  # the marker expires as any record: the next sweep finds it
        await self._store.delete(key)
        return True

    async def _sweep_journal(self, of: layout.Folders, report: SweepReport) -> int:
        deleted = 0
        for name in await self._store.folders(of.journal):
            try:
                home = layout.parse_home(name)
            except ValueError:
                report.failed += 1
                log.warning("journal folder %s is not a home", name)
                continue
            await self._clock.fresh()
            if self._is_due(home):
                objects = await self._store.objects(layout.journal_prefix(home, of))
                deleted += await self._delete([stored.key for stored in objects])
        return deleted

    async def _sweep_rejections(self, report: SweepReport) -> None:
        # A record is written once, or again when it has expired: its age is that of its home.
        for folder in (layout.REJECTION_RECORDS, layout.TRIES):
            async for stored in self._store.walk(folder):
                await self._clock.fresh()
                if self._is_due(stored.modified):
                    report.rejections += await self._delete([stored.key])

    async def _sweep_lake(self, report: SweepReport) -> None:
        async for stored in self._store.walk("lake"):
            end = end_of_file(stored.key)
            await self._clock.fresh()
            if end is not None and self._is_due(end):
                report.lake += await self._delete([stored.key])

    async def _sweep_leftovers(self, report: SweepReport) -> None:
        now = self._clock.now()
        probes = await self._store.objects(layout.PROBE)
        old = [s.key for s in probes if s.modified + _PROBE_AGE <= now]
        report.leftovers += await self._delete(old)
        if self._store.root is not None:
            root = self._store.root
            report.leftovers += await asyncio.to_thread(
                _unlink_staging, root, now - ORPHAN_AGE, dry_run=self._dry_run
            )

    def _is_due(self, home: datetime) -> bool:
        settings = self._clock.settings
        return settings.expires(home) + settings.margin <= self._clock.now()

    def _is_old(self, stored: Stored) -> bool:
        return stored.modified + ORPHAN_AGE <= self._clock.now()

    async def _delete_old(self, unnamed: Sequence[Stored]) -> int:
        return await self._delete([stored.key for stored in unnamed if self._is_old(stored)])

    async def _delete(self, keys: Sequence[str]) -> int:
        async def delete(key: str) -> None:
            async with self._deleters:
                await self._store.delete(key)

        if not self._dry_run:
            await asyncio.gather(*map(delete, keys))
        return len(keys)


def named_by(record: ImageRecord) -> frozenset[str]:
    """Keys of the objects that are this image."""
    return frozenset({record.original_key, *(rendition.key for rendition in record.renditions)})


def end_of_file(key: str) -> datetime | None:
    """The home of a lake file, or the end of its hour; None for a key that tells neither."""
    parsed = layout.parse_chain_key(key)
    if parsed:
        return parsed[0]
    hour = _HOUR.search(key)
    if not hour:
        return None
    try:
        start = datetime.strptime(f"{hour[1]}T{hour[2]}", "%Y-%m-%dT%H").replace(tzinfo=UTC)
    except ValueError:
        return None
    return start + timedelta(hours=1)


def _unlink_staging(root: Path, before: datetime, *, dry_run: bool) -> int:
    """Remove what processes that were killed had begun to write; obstore does not list it."""
    count = 0
    for path in _staging_files(root):
        try:
            if path.stat().st_mtime <= before.timestamp():
                if not dry_run:
                    path.unlink()
                count += 1
        except FileNotFoundError:
            continue  # it was finished, or another sweeper was quicker
    return count


def _staging_files(root: Path) -> Iterator[Path]:
    # Unlike `rglob` it goes on where a folder has just gone: others empty folders meanwhile.
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names if _STAGING.fullmatch(name))
