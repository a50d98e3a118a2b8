"""Sweeper: deletes expired and orphaned objects, for stores without lifecycle rules.

  images/    images past retention + margin, by the window in their record; objects older than a day
             that no record names (left by a crash)
  journal/   windows past retention + margin
  lake/      files past retention + margin, by the date in their name, because a rewritten file is
             younger than its rows
  rejections/  records and journal of rejections, as above
  probe/     leftovers of start-up probes
  in a folder store also files older than a day that a killed process was writing (`name#1`)

Any number of sweepers may run beside writers, sealers and erasers, and a new image may take over
the name of an expired one. A DELETE may arrive after its sender gave up, and some stores ignore its
condition. So the sweeper first replaces a record (If-Match) by a marker, and no writer takes over
the name for `marker_hold`. The store refuses the DELETE of the marker before that time is over. The
same holds for the record of a rejection.
Retention and margin come from the store and are read again every five minutes, so that a sweeper
does not delete images after their retention was extended. Clocks that jump:
lake/store/accepted_time.py.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from lake import layout
from lake.commit.expiry import expiry_of
from lake.commit.invalidations import Invalidations
from lake.commit.records import parse_record
from lake.commit.rejections import parse_rejected
from lake.errors import (
    KeyMissing,
    LakeError,
    Mismatch,
    Unavailable,
    UnreadableObject,
)
from lake.logs import logger
from lake.retention.file_ends import end_of_file
from lake.retention.staging_files import unlink_staging
from lake.retention.sweep_report import SweepReport
from lake.store.accepted_time import accept_time
from lake.store.clock import StoreClock
from lake.store.folders import ImageFolder, Stray, attempt_of, listable_images
from lake.store.machine_clock import Moment
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.schema import ImageRecord, Named, Tombstone
from lake.tables.tables import Rejected

log = logger(__name__)

_DELETERS = 16


class Sweeper:
    """Deletes expired and orphaned objects of one store."""

    def __init__(
        self,
        store: ObjectStore,
        clock: StoreClock,
        *,
        dry_run: bool = False,
        accept_time: bool = False,
        invalidations: Invalidations | None = None,
    ) -> None:
        """Use retention and margin of the store; a dry run counts and deletes nothing.

        `accept_time`: an operator says that the store's clock is right, though it jumped.
        `invalidations`: tell CloudFront of sweeps that deleted images.
        """
        self._invalidations = invalidations
        self._store = store
        self._clock = clock
        self._times = clock.times
        self._dry_run = dry_run
        self._accept_time = accept_time
        self._accepted: datetime | None = None
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._deleters = asyncio.Semaphore(_DELETERS)

    async def sweep(self) -> SweepReport:
        """Sweep the whole store; raises TimeJumped, or Unavailable if its clock can't be read.

        A failure for an image, an object or a folder is logged and counted, and the next sweep
        tries again.
        """
        await self._clock.fresh()
        self._accepted = await accept_time(
            self._store,
            self._clock,
            confirmed=self._accept_time,
            note=not self._dry_run,
            known=self._accepted,
        )
        # The clock may jump during the sweep, too.
        self._latest = self._accepted + self._times.time_jump
        self._store.skipped.clear()
        report = SweepReport()
        parts: dict[str, Callable[[SweepReport], Awaitable[None]]] = {
            layout.IMAGES: self._sweep_images,
            layout.JOURNAL: partial(self._sweep_journal, layout.IMAGE_ROWS),
            layout.REJECTION_ROWS.journal: partial(self._sweep_journal, layout.REJECTION_ROWS),
            layout.REJECTION_RECORDS: self._sweep_rejections,
            layout.TRIES: self._sweep_tries,
            "lake": self._sweep_lake,
            layout.PROBE: self._sweep_leftovers,
        }
        for folder, sweep in parts.items():
            try:
                await sweep(report)
            except Unavailable as error:
                report.not_swept(folder, error)
        if report.image_objects and not self._dry_run and self._invalidations is not None:
            self._invalidations.add_all()
        return report

    async def _sweep_images(self, report: SweepReport) -> None:
        async for item in listable_images(self._store, report.not_swept):
            if isinstance(item, Stray):
                report.orphans += await self._delete_old([item.stored], report)
                continue
            if not self._needs_reading(item):
                continue
            await self._clock.fresh()
            try:
                await self._sweep_image(item, report)
            except LakeError as error:
                report.failed += 1
                log.warning("image not swept", image_id=item.image_id, error=error)

    def _needs_reading(self, folder: ImageFolder) -> bool:
        """True if there may be something to delete; false for live images of a single attempt."""
        if folder.record is None:
            return any(self._is_old(stored) for stored in folder.objects)
        # A record is PUT in the same attempt as its objects. A record that is younger by more than
        # an attempt is of another attempt or a tombstone, and must be read.
        written = folder.record.modified - self._times.attempt_over
        if self._clock.has_expired(written):
            return True
        attempts = {attempt_of(stored.key) for stored in folder.objects}
        return len(attempts) != 1 or any(stored.modified < written for stored in folder.objects)

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
                if self._dry_run or await self._unname(folder, "", stored):
                    report.images += 1
                    report.image_objects += await self._delete_old(folder.objects, report)
                return
            if expiry_of(record, self._clock) + self._clock.settings.margin <= self._clock.now():
                await self._expire(folder, record, stored, report)
                return
            if isinstance(record, ImageRecord):
                named = named_by(record)
        unnamed = [stored for stored in folder.objects if stored.key not in named]
        report.orphans += await self._delete_old(unnamed, report)

    async def _expire(
        self,
        folder: ImageFolder,
        record: Named,
        stored: Stored,
        report: SweepReport,
    ) -> None:
        if not self._dry_run and not await self._unname(folder, record.attempt, stored):
            return
        report.images += isinstance(record, ImageRecord)
        named = named_by(record) if isinstance(record, ImageRecord) else frozenset()
        # The listing is older than the marker: objects of a newer attempt are not listed, or young.
        dead = [s for s in folder.objects if s.key in named or self._is_old(s)]
        report.image_objects += await self._delete([s.key for s in dead], report)

    async def _unname(self, folder: ImageFolder, attempt: str, stored: Stored) -> bool:
        """Replace a record by a marker, then delete it; False if another process may have it."""
        # The moment comes first: its age includes a pause before the marker has its time.
        marked = self._clock.machine.moment()
        await self._clock.fresh()
        marker = Tombstone(
            image_id=folder.image_id,
            tenant=folder.tenant,
            attempt=attempt,
            window_start=self._expired_now(),
            erased_at=self._clock.now(),
        )
        try:
            body = marker.model_dump_json().encode()
            etag = await self._store.replace(folder.record_key, body, stored.etag)
            return await self._delete_marker(folder.record_key, etag, marked)
        except (Mismatch, KeyMissing):
            return False  # a new image or another sweeper was faster

    async def _delete_marker(self, key: str, etag: str, marked: Moment) -> bool:
        """Delete a marker; false if this process paused after it chose the marker's time."""
        # The signature comes first: a pause between look and request can't prolong it.
        delete = await self._store.prepare_delete(key, etag)
        if marked.age > self._times.marker_use:
            return False  # the marker expires like a record, and the next sweep deletes it
        await delete()
        return True

    async def _sweep_journal(self, of: layout.Folders, report: SweepReport) -> None:
        for name in await self._store.folders(of.journal):
            try:
                window_start = layout.parse_window(name)
            except ValueError:
                self._store.skipped.add(f"{of.journal}/{name}")
                continue
            await self._clock.fresh()
            if self._is_due(window_start):
                deleted = await self._sweep_window(layout.journal_prefix(window_start, of), report)
                if of is layout.IMAGE_ROWS:
                    report.journal += deleted
                else:
                    report.rejections += deleted

    async def _sweep_window(self, folder: str, report: SweepReport) -> int:
        """Delete the objects of one window of a journal, which keeps no other if it can't."""
        try:
            objects = await self._store.objects(folder)
        except Unavailable as error:
            report.failed += 1
            log.warning("window not swept", folder=folder, error=error)
            return 0
        return await self._delete([stored.key for stored in objects], report)

    async def _sweep_rejections(self, report: SweepReport) -> None:
        # A record is written once, or again after it expired, so it is as old as its window.
        async for stored in self._store.walk(layout.REJECTION_RECORDS):
            await self._clock.fresh()
            if not self._is_due(stored.modified):
                continue
            try:
                report.rejections += await self._sweep_rejection(stored.key)
            except LakeError as error:
                report.failed += 1
                log.warning("rejection not swept", key=stored.key, error=error)

    async def _sweep_tries(self, report: SweepReport) -> None:
        async for stored in self._store.walk(layout.TRIES):
            await self._clock.fresh()
            if self._is_due(stored.modified):
                report.rejections += await self._delete([stored.key], report)

    async def _sweep_rejection(self, key: str) -> bool:
        """Delete an expired rejection; False if another process has written it since the listing.

        A message that is read again takes over the record when it has expired. Without the marker,
        the sweeper could delete the new record, and the message would get a second row.
        """
        marked = self._clock.machine.moment()
        await self._clock.fresh()
        try:
            data, stored = await self._store.get(key)
            rejected = _rejected(key, data)
            if not self._is_due(rejected.window_start if rejected else stored.modified):
                return False
            if self._dry_run:
                return True
            etag = stored.etag
            if rejected is not None:
                times = {"window_start": self._expired_now(), "rejected_at": self._clock.now()}
                marker = rejected.model_copy(update=times).model_dump_json().encode()
                etag = await self._store.replace(key, marker, etag)
            return await self._delete_marker(key, etag, marked)
        except (Mismatch, KeyMissing):
            return False

    def _expired_now(self) -> datetime:
        """Window of a marker, which has expired when it is written."""
        now = self._clock.now()
        retention = timedelta(days=self._clock.settings.days(now))
        return now - retention - self._times.marker_age

    async def _sweep_lake(self, report: SweepReport) -> None:
        async for stored in self._store.walk("lake"):
            end = end_of_file(stored.key)
            await self._clock.fresh()
            if end is not None and self._is_due(end):
                report.lake += await self._delete([stored.key], report)

    async def _sweep_leftovers(self, report: SweepReport) -> None:
        now = self._now()
        probes = await self._store.objects(layout.PROBE)
        old = [s.key for s in probes if s.modified + self._times.probe_age <= now]
        report.leftovers += await self._delete(old, report)
        if self._store.root is not None:
            root = self._store.root
            report.leftovers += await asyncio.to_thread(
                unlink_staging, root, now - self._times.orphan_age, dry_run=self._dry_run
            )

    def _now(self) -> datetime:
        return min(self._clock.now(), self._latest)

    def _is_due(self, window_start: datetime) -> bool:
        settings = self._clock.settings
        return settings.expires(window_start) + settings.margin <= self._now()

    def _is_old(self, stored: Stored) -> bool:
        return stored.modified + self._times.orphan_age <= self._now()

    async def _delete_old(self, unnamed: Sequence[Stored], report: SweepReport) -> int:
        old = [stored.key for stored in unnamed if self._is_old(stored)]
        return await self._delete(old, report)

    async def _delete(self, keys: Sequence[str], report: SweepReport) -> int:
        """Delete objects and return their number; the sweep goes on past one that it can't."""

        async def delete(key: str) -> bool:
            async with self._deleters:
                try:
                    await self._store.delete(key)
                except LakeError as error:
                    log.warning("object not deleted", key=key, error=error)
                    return False
            return True

        if self._dry_run:
            return len(keys)
        deleted = sum(await asyncio.gather(*map(delete, keys)))
        report.failed += len(keys) - deleted
        return deleted


def named_by(record: ImageRecord) -> frozenset[str]:
    """Keys of the objects that a record names."""
    return frozenset({record.original_key, *(rendition.key for rendition in record.renditions)})


def _rejected(key: str, data: bytes) -> Rejected | None:
    """Parse the record of a rejection; None if it does not parse."""
    try:
        return parse_rejected(key, data)
    except UnreadableObject:
        return None
