"""World of a story: the bucket, its processes, what clients were promised, and the invariants."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from lake import layout
from lake.commit.records import Attempt
from lake.errors import (
    IdempotencyConflict,
    ImageErased,
    ImageExpiring,
    ImageNotFound,
    LakeError,
)
from lake.lake import Lake
from lake.seal.sizes import SIZES, SealerSizes
from lake.settings import LakeSettings
from lake.store.folders import attempt_of
from lake.store.store_settings import StoreSettings, as_json
from lake.tables.schema import ImageRecord, Tombstone
from lake.timing import TIMES
from tests.lake.samples import image_id, record
from tests.lake.simulation.bucket import EPOCH, Bucket, Process
from tests.lake.simulation.chance import chance
from tests.lake.simulation.contents import Contents, window_start_of
from tests.lake.simulation.loop import SimulatedLoop
from tests.lake.simulation.machine import SimulatedMachine
from tests.lake.simulation.readable import complete_before, named
from tests.lake.simulation.skewed_clock import MAX_SKEW_SECONDS, SkewedClock
from tests.lake.simulation.store import SimulatedStore

RETENTION = timedelta(days=7)
_SETTINGS = LakeSettings()


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass(slots=True)
class Promises:
    """Answers that clients got."""

    acknowledged: dict[str, set[bytes]] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    refused: list[Attempt] = field(default_factory=list)
    """attempts that ended as replay, conflict, erased or expiring, in a process that lived on"""
    too_late: set[str] = field(default_factory=set)
    """attempts that began after the erasure of their image: what they leave are orphans"""


class World(Contents):
    """A bucket, the processes that use it, and the checks."""

    def __init__(self, seed: int, loop: SimulatedLoop) -> None:
        self.dice = random.Random(seed)
        # Segments are read whole, or in pieces as if they were large.
        self._whole_bytes = 0 if seed % 3 else 2**20
        self.copy_bytes = SIZES.compacted_bytes
        """bytes of segments in one compacted file"""
        self.journal_page = SIZES.page
        """names of journal objects in one listing"""
        self.large_bytes = SIZES.large_bytes
        """stored bytes from which the journal of a window counts as large"""
        self.loop = loop
        bucket = Bucket(loop, random.Random(seed + 1))
        super().__init__(bucket, StoreSettings(store_id="simulated"))
        self.chance = partial(chance, seed)
        self.bucket.page_naps = self.chance("pages", stories=0.2, rate=0.7).pause
        self.bucket.conflicts = self.chance("conflicts", stories=0.2, rate=0.3)
        self.promises = Promises()
        self.failure: Broken | None = None
        self.times = TIMES
        """protocol's times, the same for all processes"""
        self.noted: set[tuple[datetime, str]] = set()
        """(window, image id) of every row that a footer has ever named as erased"""
        self.erasing: set[str] = set()
        """names whose erasure has begun, whether or not its client got an answer"""
        self.erasing_ids: set[str] = set()
        """image ids whose erasure has begun, in stories whose images have no names"""
        self.watermarks: list[datetime | None] = [None]
        """every watermark that a reader may have read"""
        self.settled: set[int] = set()
        """offsets of messages whose outcome a living reader knows"""
        self.published: dict[str, datetime] = {}
        """id and window of every row that was visible with the watermark of its moment"""
        self.lives: dict[str, ImageRecord] = {}
        """images that a story watches, by record key"""
        self.bucket.write(layout.STORE, as_json(self.kept))
        self.bucket.watchers.append(self._watch)

    async def process(self, name: str) -> tuple[Process, Lake]:
        """A process with its own lake and a clock with an error."""
        process = Process(name, machine=SimulatedMachine(self.loop.time, set_by=self._set_by))
        store = SimulatedStore(self.bucket, process)
        skew = self.dice.uniform(-MAX_SKEW_SECONDS, MAX_SKEW_SECONDS)
        clock = SkewedClock(store, self.kept, self.times, process.machine, skew)
        # Size of a batch: one journal object, or the whole journal of a window.
        batch = self.dice.choice([1, 2**20])
        sizes = SealerSizes(
            page=self.journal_page,
            large_bytes=self.large_bytes,
            batch_bytes=batch,
            wave_bytes=batch,
            whole_bytes=self._whole_bytes,
            compacted_bytes=self.copy_bytes,
        )
        return process, Lake.wire(store, clock, _SETTINGS, sizes)

    def _set_by(self) -> float:
        """Error of the wall clocks of all machines: that of the store's clock."""
        return self.bucket.ahead

    async def upload(self, process: Process, lake: Lake, name: str, content: bytes) -> None:
        """Run one attempt of a writer and note its answer in the promises."""
        outages = self.bucket.outages
        attempt = await lake.committer.begin(self.tenant(image_id(name)), image_id(name))
        if name in self.promises.erased:
            self.promises.too_late.add(attempt.id)
        made = record(attempt, content, received_at=self.bucket.now().replace(microsecond=0))
        objects = {made.original_key: content, made.renditions[0].key: content + b" small"}
        try:
            done = await lake.committer.commit(attempt, made, objects)
        except (IdempotencyConflict, ImageErased, ImageExpiring):
            if process.alive and self.bucket.outages == outages:
                self.promises.refused.append(attempt)
            raise
        if process.alive:
            self.promises.acknowledged.setdefault(name, set()).add(content)
            if done.record.attempt != attempt.id and self.bucket.outages == outages:
                self.promises.refused.append(attempt)

    async def erase(self, process: Process, lake: Lake, name: str) -> None:
        """Run one erasure of an image and note it in the promises if it succeeds."""
        await lake.eraser.erase(self.tenant(image_id(name)), image_id(name))
        if process.alive:
            self.promises.erased.add(name)

    @property
    def watermark(self) -> datetime | None:
        """Watermark that a new reader reads."""
        return self.watermarks[-1]

    # Invariants.

    def _watch(self, key: str) -> None:
        """Check after each change; keep a failure, since a watcher can't raise into tested code."""
        if self.failure is None and key.startswith((layout.IMAGES, "lake")):
            try:
                self.check_always()
            except Broken as broken:
                self.failure = broken

    def check_always(self) -> None:
        """Check the invariants that hold at every moment."""
        key = layout.watermark_key(layout.IMAGE_ROWS)
        if key in self.bucket.objects:
            moved = complete_before(key, self.bucket.objects[key][0])
            if moved != self.watermark:
                self.watermarks.append(moved)
        ids: set[str] = set()
        for watermark in reversed(self.watermarks):
            rows = self.seen(watermark)
            seen = {row for row, _ in rows}
            if len(rows) != len(seen):
                raise Broken("two rows of one image are visible")
            ids |= seen
            self._check_published(seen)
            if watermark == self.watermark:
                self.published.update(rows)
        self.noted |= {
            (window_start_of(key), gone)
            for key, data, etag in self.segments()
            for gone in self.chain(key, data, etag)[1]
        }
        if {(window_start_of(key), row) for key, row in self.rows()} & self.noted:
            raise Broken("a row came back that a footer called erased")
        for found in ids:
            stored = self.record(found)
            live = isinstance(stored, ImageRecord) and self._complete(stored)
            if not live and not self.is_damaged(found) and found not in self.waiting_tombstones():
                raise Broken("a row without its record and objects")

    def _check_published(self, seen: set[str]) -> None:
        """Check that a published row stays visible to earlier and later readers while it lives."""
        gone = {image_id(name) for name in self.erasing} | self.erasing_ids
        oldest = self.kept.oldest(self.bucket.now())
        for row in self.published.keys() - seen - gone:
            if self.published[row] > oldest:
                raise Broken("a row that was seen is not there")

    def check_at_rest(self) -> None:
        """Check the invariants that hold after two hours without work, with passes of a sealer."""
        if self.failure:
            raise self.failure
        ids = [row for row, _ in self.seen(self.watermark)]
        for name, contents in self.promises.acknowledged.items():
            if len(contents) != 1:
                raise Broken("two contents were acknowledged for one identity")
            stored = self.record(image_id(name))
            erased = isinstance(stored, Tombstone)
            if erased and name in self.promises.erased | self.erasing:
                continue
            if not isinstance(stored, ImageRecord):
                raise Broken("acknowledged, and there is no record")
            (content,) = contents
            if stored.content_hash != hashlib.sha256(content).hexdigest():
                raise Broken("acknowledged, and the record is another's")
            if not self._complete(stored):
                raise Broken("acknowledged, and objects are missing")
            if ids.count(image_id(name)) != 1:
                raise Broken(f"acknowledged, and there are {ids.count(image_id(name))} rows")
        self._check_erased(ids)
        self._check_refused()
        self._check_records()

    def _check_erased(self, ids: list[str]) -> None:
        for name in self.promises.erased:
            if image_id(name) in ids:
                raise Broken("erased, and the row is there")
            prefix = layout.image_prefix(self.tenant(image_id(name)), image_id(name))
            left = {
                k.rsplit("/", 1)[-1]
                for k, _, _ in self.below(prefix)
                if attempt_of(k) not in self.promises.too_late
            }
            if isinstance(self.record(image_id(name)), ImageRecord):
                raise Broken("erased, and the record is there")
            if left - {"record.json"}:
                raise Broken("erased, and objects are there")

    def _check_refused(self) -> None:
        for attempt in self.promises.refused:
            stored = self.record(attempt.image_id)
            if isinstance(stored, ImageRecord) and stored.attempt == attempt.id:
                continue  # refused at first, yet its own record was stored: an ambiguous answer
            if any(attempt.id in key for key in self.bucket.objects):
                raise Broken("refused, and objects are left")

    def _check_records(self) -> None:
        for key, data, _ in self.below(layout.IMAGES):
            stored = named(key, data) if key.endswith("record.json") else None
            if isinstance(stored, ImageRecord) and not self._complete(stored):
                raise Broken("a record without its objects")

    def _complete(self, stored: ImageRecord) -> bool:
        named = {stored.original_key, *(rendition.key for rendition in stored.renditions)}
        return named <= self.bucket.objects.keys()


async def patiently(work: Awaitable[object], seconds: float) -> bool | None:
    """Return True if `work` succeeded, None if it was refused for good, else False.

    The calls of a dead process never return, so its work ends by the time-out.
    """
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done:
        return False
    try:
        task.result()
    except (IdempotencyConflict, ImageErased, ImageNotFound):
        return None
    except LakeError:
        return False
    return True


__all__ = ["EPOCH", "Broken", "World", "patiently", "window_start_of"]
