"""World of a story: the bucket, its processes, what clients were promised, and the invariants."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

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
from lake.tables.schema import ImageRecord, Named, Tombstone
from lake.timing import TIMES
from tests.lake.samples import TENANT, image_id, record
from tests.lake.simulation.chance import chance
from tests.lake.simulation.loop import SimulatedLoop
from tests.lake.simulation.machine import SimulatedMachine
from tests.lake.simulation.readable import (
    complete_before,
    ids_of_segment,
    named,
    rows_of_copy,
    tombstones,
)
from tests.lake.simulation.skewed_clock import MAX_SKEW_SECONDS, SkewedClock
from tests.lake.simulation.store import EPOCH, Bucket, Process, SimulatedStore

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


class World:
    """A bucket, the processes that use it, and the checks."""

    def __init__(self, seed: int, loop: SimulatedLoop) -> None:
        self.dice = random.Random(seed)
        # Segments are read whole, or in pieces as if they were large.
        self._whole_bytes = 0 if seed % 3 else 2**20
        self.copy_bytes = SIZES.compacted_bytes
        """bytes of segments in one compacted file"""
        self.loop = loop
        self.bucket = Bucket(loop, random.Random(seed + 1))
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
        self._parsed: dict[tuple[str, str], Any] = {}
        self.kept = StoreSettings(store_id="simulated")
        """the store's settings, by which the checks know which images must exist"""
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
        attempt = await lake.committer.begin(TENANT, image_id(name))
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
        await lake.eraser.erase(TENANT, image_id(name))
        if process.alive:
            self.promises.erased.add(name)

    # Stored objects, parsed.

    def rows(self) -> list[tuple[str, str]]:
        """(key, image id) of every row of the chains that has not expired."""
        oldest = self.kept.oldest(self.bucket.now())
        return [
            (key, row)
            for key, data, etag in self._segments()
            if window_start_of(key) > oldest
            for row in self._chain(key, data, etag)[0]
        ]

    def seen(self, watermark: datetime | None) -> list[tuple[str, datetime]]:
        """Image id and window of every row that a reader with this watermark sees."""
        rows = [(row, window_start_of(key)) for key, row in self.rows()]
        if watermark is None:
            return rows
        oldest = self.kept.oldest(self.bucket.now())
        fresh = [(row, window_start) for row, window_start in rows if window_start >= watermark]
        copied = [
            (row, window_start)
            for key, data, etag in self.below(layout.IMAGE_ROWS.compacted)
            if (begin := layout.parse_compacted_key(key)) and begin < watermark
            for row, window_start in self._copy(key, data, etag)
            if window_start > oldest
        ]
        return fresh + copied

    @property
    def watermark(self) -> datetime | None:
        """Watermark that a new reader reads."""
        return self.watermarks[-1]

    def _copy(self, key: str, data: bytes, etag: str) -> list[tuple[str, datetime]]:
        parse = partial(rows_of_copy, key, data)
        return self._cached(key, etag, parse)  # type: ignore[no-any-return]

    def record(self, name_id: str) -> Named | None:
        """Object under the name of an image; None for a damaged one, too."""
        key = layout.record_key(TENANT, name_id)
        return named(key, self.bucket.objects[key][0]) if key in self.bucket.objects else None

    def is_damaged(self, name_id: str) -> bool:
        """True if the record does not parse."""
        return (
            layout.record_key(TENANT, name_id) in self.bucket.objects
            and self.record(name_id) is None
        )

    def waiting_tombstones(self) -> set[str]:
        """Image ids of the tombstones in the journal: a sealer will finish their erasures."""
        return {
            tombstone.image_id
            for key, data, etag in self.below(layout.JOURNAL)
            for tombstone in self._cached(key, etag, partial(tombstones, key, data))
        }

    def below(self, prefix: str) -> Iterator[tuple[str, bytes, str]]:
        for key, (data, stored) in self.bucket.objects.items():
            if key.startswith(f"{prefix}/"):
                yield key, data, stored.etag

    def _segments(self) -> Iterator[tuple[str, bytes, str]]:
        for key, data, etag in self.below(layout.LAKE_IMAGES):
            if layout.parse_chain_key(key):
                yield key, data, etag

    def _chain(self, key: str, data: bytes, etag: str) -> tuple[list[str], frozenset[str]]:
        parse = partial(ids_of_segment, key, data)
        # Damage may leave the ETag as it is.
        return self._cached(key, f"{etag} {len(data)}", parse)  # type: ignore[no-any-return]

    def _cached(self, key: str, etag: str, parse: Callable[[], Any]) -> Any:
        if (key, etag) not in self._parsed:
            self._parsed[key, etag] = parse()
        return self._parsed[key, etag]

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
            for key, data, etag in self._segments()
            for gone in self._chain(key, data, etag)[1]
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
            prefix = layout.image_prefix(TENANT, image_id(name))
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


def window_start_of(key: str) -> datetime:
    """Window of a segment."""
    parsed = layout.parse_chain_key(key)
    assert parsed
    return parsed[0]


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


__all__ = ["EPOCH", "Broken", "World", "patiently"]
