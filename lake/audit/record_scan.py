"""Audit of records: each image has all its objects, and each object belongs to a record.

The existence and size of objects come from the listing. Only records are read, and the objects of
images that are hashed. A folder that seems wrong is listed and read again by itself, because images
change while a million folders are listed.
"""

import hashlib
import heapq
import random
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lake import layout
from lake.audit.object_reading import Content, first_line, read_each
from lake.audit.row_hash import hashed_records
from lake.audit.scope import Scope
from lake.audit.snapshot import Finding, SnapshotWriter
from lake.commit.records import parse_record
from lake.errors import UnreadableObject
from lake.store.folders import ImageFolder, Stray, attempt_of, image_folders, look
from lake.store.object_store import ObjectStore
from lake.tables.schema import ImageRecord, Named, RefusedName, Tombstone
from lake.tables.tables import IMAGE_TABLE

# Records read at once.
_BATCH = 256
# Bytes hashed at once, whatever the size of the images.
_HASH_BYTES = 32 * 2**20
_LOOKS = 3
# Records whose rows are hashed together.
_ROWS = 4096


@dataclass(slots=True)
class Seen:
    """Counts of a scan; `sample` has (random number, tenant, id) of images to hash later."""

    images: int = 0
    tombstones: int = 0
    objects: int = 0
    hashed: int = 0
    hashed_bytes: int = 0
    sample: list[tuple[float, str, str]] = field(default_factory=list)
    presets: dict[tuple[str, int], str] = field(default_factory=dict)
    """presets by path and version, each with the key of a record that names it"""

    def add(self, other: "Seen", sample: int) -> None:
        """Add the counts and the sample of another scan."""
        self.images += other.images
        self.tombstones += other.tombstones
        self.objects += other.objects
        self.hashed += other.hashed
        self.hashed_bytes += other.hashed_bytes
        self.sample = heapq.nlargest(sample, self.sample + other.sample)
        self.presets = other.presets | self.presets


class RecordScan:
    """Checks image folders; hashes all objects if `full`, else draws `sample` images to hash.

    `rows`: also hash the row of each record, for a comparison with the rows of the lake.
    """

    def __init__(
        self,
        store: ObjectStore,
        scope: Scope,
        snapshot: SnapshotWriter,
        *,
        full: bool,
        sample: int,
        rows: bool = False,
    ) -> None:
        self._store = store
        self._scope = scope
        self._snapshot = snapshot
        self._full = full
        self._sample = sample
        self._rows = rows
        self._noted: list[ImageRecord] = []
        self.seen = Seen()

    async def scan(self, prefix: str) -> None:
        """Check all image folders below `prefix`; raises StoreUnavailable."""
        batch: list[ImageFolder] = []
        async for item in image_folders(self._store, prefix):
            if isinstance(item, Stray):
                if self._scope.is_orphan(item.stored.modified):
                    self._snapshot.fault("orphan", item.stored.key, "not a key of Pixlake")
            elif self._is_in_scope(item):
                batch.append(item)
            if len(batch) == _BATCH:
                await self._judge(batch)
                batch = []
        await self._judge(batch)
        self._note_images()

    async def check_bytes(self, tenant: str, image_id: str) -> None:
        """Hash the objects of one image."""
        folder = await look(self._store, tenant, image_id)
        (data,) = await read_each(self._store, [folder.record_key])
        record = _parsed(folder, data)
        if isinstance(record, ImageRecord):
            await self._hash([record])

    def _is_in_scope(self, folder: ImageFolder) -> bool:
        """True if the image may be in scope, by its listing alone."""
        # A window is never younger than its record, but may be older.
        listed = folder.objects if folder.record is None else (*folder.objects, folder.record)
        newest = max([stored.modified for stored in listed])
        return newest >= self._scope.start or self._scope.is_overdue(newest)

    async def _judge(self, folders: Sequence[ImageFolder]) -> None:
        datas = await read_each(self._store, [f.record_key for f in folders])
        images: list[ImageRecord] = []
        for folder, data in zip(folders, datas, strict=True):
            record = _parsed(folder, data)
            faults = self._faults(folder, record)
            if faults:
                record, faults = await self._look_again(folder)
                self._snapshot.faults(faults)
            self._note(folder, record)
            if isinstance(record, ImageRecord) and self._scope.holds(record.window_start):
                images.append(record)
        if self._full:
            await self._hash(images)
        else:
            for record in images:
                self._draw(record)

    async def _look_again(
        self, folder: ImageFolder
    ) -> tuple[Named | Finding | None, list[Finding]]:
        """Check a folder by a consistent listing: the record is the same before and after it."""
        (before,) = await read_each(self._store, [folder.record_key])
        for _ in range(_LOOKS):
            now = await look(self._store, folder.tenant, folder.image_id)
            (after,) = await read_each(self._store, [folder.record_key])
            if before == after or isinstance(after, UnreadableObject):
                break
            before = after
        record = _parsed(now, after)
        return record, self._faults(now, record)

    def _faults(self, folder: ImageFolder, record: Named | Finding | None) -> list[Finding]:
        scope = self._scope
        if isinstance(record, Finding):
            return [record]
        if record is None:
            return self._orphans({stored.key for stored in folder.objects}, folder, "no record")
        if scope.is_future(record.window_start):
            return [Finding("future", folder.record_key, f"window {record.window_start:%F %T}")]
        if scope.is_overdue(_kept_since(record, scope)):
            return [Finding("overdue", folder.record_key, f"window {record.window_start:%F %T}")]
        if not scope.holds(record.window_start):
            return []
        return self._compared(folder, record)

    def _compared(self, folder: ImageFolder, record: Named) -> list[Finding]:
        """Compare the listed objects with those that the record names; a refusal names none."""
        if isinstance(record, Tombstone):
            return self._erased(folder, record)
        faults = []
        sizes = {stored.key: stored.size for stored in folder.objects}
        for named in _objects(record) if isinstance(record, ImageRecord) else ():
            size = sizes.pop(named.key, None)
            if size is None:
                faults.append(Finding("missing_object", named.key, "named by its record"))
            elif size != named.bytes:
                detail = f"{size} bytes, but {named.bytes} in its record"
                faults.append(Finding("wrong_bytes", named.key, detail))
        if sizes:
            faults += self._orphans(sizes.keys(), folder, "not named by its record")
        return faults

    def _erased(self, folder: ImageFolder, record: Tombstone) -> list[Finding]:
        own = {s.key for s in folder.objects if attempt_of(s.key) == record.attempt}
        others = {s.key for s in folder.objects} - own
        faults = self._orphans(others, folder, "its image was erased")
        if self._scope.is_future(record.erased_at):
            faults.append(Finding("future", folder.record_key, f"erased {record.erased_at:%F %T}"))
        if self._scope.must_be_erased(record.erased_at):
            detail = f"erased {record.erased_at:%F %T}"
            faults += [Finding("erased_object", key, detail) for key in sorted(own)]
        return faults

    def _orphans(self, unnamed: Container[str], folder: ImageFolder, why: str) -> list[Finding]:
        return [
            Finding("orphan", stored.key, why)
            for stored in folder.objects
            if stored.key in unnamed and self._scope.is_orphan(stored.modified)
        ]

    def _note(self, folder: ImageFolder, record: Named | Finding | None) -> None:
        self.seen.objects += len(folder.objects)
        if isinstance(record, ImageRecord):
            self.seen.images += self._scope.holds(record.window_start)
            path = layout.preset_path(record.preset, record.preset_tenant)
            self.seen.presets[path, record.preset_version] = folder.record_key
            self._noted.append(record)
            if len(self._noted) >= _ROWS:
                self._note_images()
        elif isinstance(record, Tombstone):
            self.seen.tombstones += 1
            self._add(record, None, None)
        elif isinstance(record, RefusedName):
            # Earlier refusals may have expired; the last one is as old as the record's window.
            newest = next(reversed(record.refused), None)
            self._snapshot.add("refusals", folder.record_key, newest, record.window_start)

    def _note_images(self) -> None:
        """Add the images since the last call to the snapshot, with the hashes of their rows."""
        records, self._noted = self._noted, []
        hashes: Sequence[int | None] = [None] * len(records)
        if self._rows and records:
            hashes = hashed_records(records, IMAGE_TABLE)
        for record, number in zip(records, hashes, strict=True):
            self._add(record, number, record.content_hash)

    def _add(
        self, record: ImageRecord | Tombstone, row_hash: int | None, content_hash: str | None
    ) -> None:
        self._snapshot.add(
            "records",
            record.tenant,
            record.image_id,
            record.attempt,
            record.window_start,
            row_hash,
            content_hash,
            isinstance(record, Tombstone),
        )

    def _draw(self, record: ImageRecord) -> None:
        """Keep the images with the largest random numbers: a uniform sample across processes."""
        lot = (random.random(), record.tenant, record.image_id)
        if len(self.seen.sample) < self._sample:
            heapq.heappush(self.seen.sample, lot)
        elif self._sample:
            heapq.heappushpop(self.seen.sample, lot)

    async def _hash(self, records: Sequence[ImageRecord]) -> None:
        batch: list[_Named] = []
        size = 0
        for record in records:
            self.seen.hashed += 1
            for named in _objects(record):
                batch.append(named)
                size += named.bytes
                if size >= _HASH_BYTES:
                    await self._hash_objects(batch)
                    batch, size = [], 0
        await self._hash_objects(batch)

    async def _hash_objects(self, batch: Sequence["_Named"]) -> None:
        for named, data in zip(
            batch, await read_each(self._store, [n.key for n in batch]), strict=True
        ):
            if data is None:
                continue  # erased a moment ago, or reported by the listing already
            if isinstance(data, UnreadableObject):
                self._snapshot.fault("unreadable", named.key, first_line(data))
                continue
            self.seen.hashed_bytes += len(data)
            if hashlib.sha256(data).hexdigest() != named.sha256:
                self._snapshot.fault("wrong_bytes", named.key, "SHA-256 differs from its record")


def _kept_since(record: Named, scope: Scope) -> datetime:
    """Start of the retention; it begins at the erasure if the image had not expired by then."""
    start = record.window_start
    if isinstance(record, Tombstone) and record.erased_at < scope.kept.expires(start):
        return max(start, record.erased_at)
    return start


def _parsed(folder: ImageFolder, data: Content) -> Named | Finding | None:
    if data is None:
        return None
    if isinstance(data, UnreadableObject):
        return Finding("unreadable", folder.record_key, first_line(data))
    try:
        record = parse_record(folder.record_key, data)
    except UnreadableObject as error:
        return Finding("unreadable", folder.record_key, first_line(error))
    if (record.tenant, record.image_id) != (folder.tenant, folder.image_id):
        return Finding("unreadable", folder.record_key, "the record of another image")
    return record


@dataclass(frozen=True, slots=True)
class _Named:
    """Object that a record names; `bytes` is its size."""

    key: str
    bytes: int
    sha256: str


def _objects(record: ImageRecord) -> list[_Named]:
    original = _Named(record.original_key, record.bytes, record.sha256)
    return [original, *(_Named(r.key, r.bytes, r.sha256) for r in record.renditions)]
