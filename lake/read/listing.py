"""Listing of a tenant's images, newest window first; costs by page, not by the size of the lake.

One page:
  1. list the windows of the journal
  2. read the watermark, list the compacted files before it, and the hours after it
  3. hour by hour, newest first: find the windows with rows of the tenant (`TenantIndex`), and those
     that wait
  4. a few windows at a time, until the page is full or has cost enough: read what waits in them
     (`WaitingRows`), then list their hours again, then read their chains
Rows move from the journal to the chains, so this order misses none. Of a window that waits, the
files of its own chain say whether they have rows of the tenant: the index is of an earlier moment.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from lake import layout
from lake.errors import InvalidCursor, KeyMissing, UnreadableObject
from lake.logs import logger
from lake.read.image_filter import ImageFilter
from lake.read.tenant_index import TenantIndex
from lake.read.waiting_rows import Waiting, WaitingRows
from lake.seal.segments import complete_chain
from lake.seal.watermark import read_watermark
from lake.store.bounded_gather import bounded_gather
from lake.store.clock import StoreClock
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.rows import decode_chain_file, erased_ids, to_records, without
from lake.tables.schema import IMAGES, ImageRecord

log = logger(__name__)

# Windows and hours that are read at once; one at first, because most pages need no more.
_MOST_AT_ONCE = 16
# Window, milliseconds and id; larger numbers are no times of an image, and no 64-bit integers.
_CURSOR = re.compile(r"(\d{8}T\d{6}Z)\.(\d{1,15})\.([0-9a-f]{32})", re.ASCII)
_SECOND = timedelta(seconds=1)
_FIRST = datetime.min.replace(tzinfo=UTC)

_Item = TypeVar("_Item")
_Position = tuple[int, str]
"""Time in milliseconds, and id."""


@dataclass(frozen=True, slots=True)
class Page:
    """Page of a listing, newest window first; `cursor` is None on the last page."""

    records: Sequence[ImageRecord]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Cost after which a page ends early: bytes of segments, and seconds."""

    bytes: int = 64 * 2**20
    seconds: float = 2.0


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class _Start:
    """Start of a page: the newest window, and the position in the window behind which it begins.

    None: no condition.
    """

    newest: datetime | None = None
    behind: _Position | None = None

    def admits(self, window_start: datetime) -> bool:
        """True if the page may have images of a window."""
        return self.newest is None or window_start <= self.newest


class _Cost:
    """Cost of a page until now."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._time = asyncio.get_running_loop().time
        self._ends = self._time() + bounds.seconds
        self.bytes = 0

    @property
    def too_much(self) -> bool:
        return self.bytes > self._bounds.bytes or self._time() > self._ends


@dataclass(slots=True, eq=False)
class _Hour:
    """Copies of an hour, if readers may use them, and its segments; None: not listed yet."""

    start: datetime
    copies: list[Stored] = field(default_factory=list)
    segments: list[Stored] | None = None


@dataclass(frozen=True, slots=True)
class _Window:
    """Window that a page reads; `waits`: its journal may have rows or erasures.

    `indexed`: the index says that its segments may have rows of the tenant.
    """

    start: datetime
    hour: _Hour
    waits: bool
    indexed: bool


@dataclass(frozen=True, slots=True)
class _Group:
    """Windows that are read at once, newest first; all windows before `end` were not read yet."""

    windows: Sequence[_Window]
    end: datetime


class Listing:
    """Lists images; hides those that are erased or expired."""

    def __init__(self, store: ObjectStore, clock: StoreClock, bounds: Bounds = BOUNDS) -> None:
        self._store = store
        self._clock = clock
        self._bounds = bounds
        self._index = TenantIndex(store)
        self._waiting = WaitingRows(store)

    async def page(self, tenant: str, limit: int, cursor: str | None, wanted: ImageFilter) -> Page:
        """List at most `limit` images; raises InvalidCursor, StoreUnavailable."""
        await self._clock.fresh()
        start = _parse_cursor(cursor)
        cost = _Cost(self._bounds)
        waiting = await self._waiting.windows()
        selected: list[ImageRecord] = []
        async for group in self._groups(tenant, waiting, start, wanted):
            found = await self._rows(tenant, group, wanted, cost)
            room = limit - len(selected)
            records = await asyncio.to_thread(_first, found, start, room + 1)
            if len(records) > room:
                selected += records[:room]
                return Page(selected, _cursor(selected[-1]))
            selected += records
            if cost.too_much:
                return Page(selected, _window_cursor(group.end))
        return Page(selected, None)

    async def _groups(
        self, tenant: str, waiting: AbstractSet[datetime], page: _Start, wanted: ImageFilter
    ) -> AsyncIterator[_Group]:
        """Yield windows to read, newest first; more at once the longer it goes on."""
        hours = await self._hours(waiting, page)
        oldest = self._oldest(wanted)
        for some in _growing(hours):
            candidates = await bounded_gather(partial(self._candidates, tenant), some)
            windows: list[_Window] = []
            for hour, found in zip(some, candidates, strict=True):
                own = {each for each in waiting if layout.hour_of(each) == hour.start}
                for each in sorted(found | own, reverse=True):
                    live = each >= oldest and not self._clock.has_expired(each)
                    if live and page.admits(each):
                        windows.append(_Window(each, hour, each in own, each in found))
            for few in _growing(windows):
                yield _Group(few, few[-1].start)
            # The time may be over also if no hour had a row.
            yield _Group([], some[-1].start)
            if some[-1].start + layout.HOUR < oldest:
                return

    async def _hours(self, waiting: AbstractSet[datetime], page: _Start) -> list[_Hour]:
        """List the hours with rows, newest first, with their copies up to the watermark."""
        watermark = (await read_watermark(self._store, layout.IMAGE_ROWS))[0].complete_before
        hours = {start: _Hour(start) for start in map(layout.hour_of, waiting)}
        for stored in await self._store.objects(layout.IMAGE_ROWS.compacted):
            first = layout.parse_compacted_key(stored.key)
            if first is not None and first < watermark:
                start = layout.hour_of(first)
                hours.setdefault(start, _Hour(start)).copies.append(stored)
        for start in await self._hours_of_segments():
            hours.setdefault(start, _Hour(start))
        return [
            hours[start]
            for start in sorted(hours, reverse=True)
            if page.admits(start) and not self._hour_expired(start)
        ]

    async def _hours_of_segments(self) -> list[datetime]:
        """List the hours that have segments."""
        days = await self._store.folders(layout.LAKE_IMAGES)
        folders = [f"{layout.LAKE_IMAGES}/{day}" for day in days]
        hours = await bounded_gather(self._store.folders, folders)
        names = [f"{day}/{name}" for day, of in zip(days, hours, strict=True) for name in of]
        return [hour for name in names if (hour := layout.parse_partition(name)) is not None]

    def _hour_expired(self, start: datetime) -> bool:
        return self._clock.has_expired(start + layout.HOUR)

    def _oldest(self, wanted: ImageFilter) -> datetime:
        """Oldest window that may have a wanted row: an image is received before its attempt."""
        if wanted.since is None:
            return _FIRST
        # The length of windows may have been changed; none is longer than an hour.
        before = layout.HOUR + self._clock.times.clock_difference
        return max(wanted.since, _FIRST + before) - before

    async def _candidates(self, tenant: str, hour: _Hour) -> set[datetime]:
        """Windows of an hour that may have sealed rows of a tenant."""
        # The copies of an hour before the watermark may be lost; its segments have the rows.
        found = await self._index_of(tenant, hour.copies or await self._segments(hour))
        if found is None:
            parsed = (layout.parse_chain_key(stored.key) for stored in await self._segments(hour))
            return {each[0] for each in parsed if each}
        return found

    async def _index_of(self, tenant: str, files: Sequence[Stored]) -> set[datetime] | None:
        """Windows in which files have rows of a tenant; None: unknown."""
        found: set[datetime] = set()
        for holdings in await bounded_gather(self._index.holdings, files):
            if holdings is None:
                return None
            found |= holdings.of(tenant)
        return found

    async def _segments(self, hour: _Hour) -> list[Stored]:
        if hour.segments is None:
            hour.segments = await self._store.objects(layout.hour_prefix(hour.start))
        return hour.segments

    async def _list(self, group: _Group, hour: _Hour) -> None:
        """List the segments of an hour, after its journal if that has rows that may have moved."""
        if any(window.waits for window in group.windows if window.hour is hour):
            hour.segments = None
        await self._segments(hour)

    async def _rows(
        self, tenant: str, group: _Group, wanted: ImageFilter, cost: _Cost
    ) -> list[tuple[datetime, pa.Table]]:
        waiting = await self._waiting.read(tenant, [w.start for w in group.windows if w.waits])
        hours = dict.fromkeys(window.hour for window in group.windows)
        await bounded_gather(partial(self._list, group), list(hours))

        async def read(window: _Window) -> tuple[datetime, pa.Table]:
            rows = await self._window(tenant, window, waiting, cost)
            return window.start, await asyncio.to_thread(wanted.select, rows)

        return await bounded_gather(read, group.windows)

    async def _window(
        self, tenant: str, window: _Window, waiting: Waiting, cost: _Cost
    ) -> pa.Table:
        """Read the rows of a tenant in a window, sealed or not, without erased images."""
        dead = set(waiting.erased.get(window.start, ()))
        unsealed = waiting.rows.get(window.start)
        tables: list[pa.Table] = []
        complete = True
        chain = await complete_chain(self._store, window.start, await self._segments(window.hour))
        if unsealed is None and not window.indexed:
            found = await self._index_of(tenant, chain.files)
            if found is not None and window.start not in found:
                return IMAGES.empty_table()
        for file in chain.files:
            cost.bytes += file.size
            try:
                data, _ = await self._store.get(file.key)
                erased, rows = await asyncio.to_thread(_of_tenant, file.key, data, tenant)
            except (UnreadableObject, KeyMissing) as error:
                log.warning(
                    "segment does not parse; its rows are not listed", key=file.key, error=error
                )
                complete = False
                continue
            # A late replay may have journaled a row again after the tombstone was consumed.
            dead |= erased
            tables.append(rows)
        sealed = pa.concat_tables([IMAGES.empty_table(), *tables])
        # An unreadable segment may name erased images, so waiting rows are not shown beside it.
        if unsealed is not None and complete:
            fresh = without(unsealed, sealed["image_id"].to_pylist())
            sealed = pa.concat_tables([sealed, fresh.select(IMAGES.names).cast(IMAGES)])
        return without(sealed, dead)


def _growing(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """Split a sequence: one element, then two, then four, up to `_MOST_AT_ONCE`."""
    start, count = 0, 1
    while start < len(items):
        yield items[start : start + count]
        start, count = start + count, min(2 * count, _MOST_AT_ONCE)


def _of_tenant(key: str, data: bytes, tenant: str) -> tuple[frozenset[str], pa.Table]:
    """Decode the erased ids of a segment, and the rows of a tenant."""
    table = decode_chain_file(key, data)
    rows = table.filter(pc.equal(table["tenant"], tenant))
    return erased_ids(key, table), rows.replace_schema_metadata(None)


def _first(
    found: Sequence[tuple[datetime, pa.Table]], page: _Start, count: int
) -> list[ImageRecord]:
    """Convert the first `count` rows of windows, in the order of the listing, to records."""
    records: list[ImageRecord] = []
    for window_start, rows in found:
        ordered = rows.sort_by([("received_at", "descending"), ("image_id", "ascending")])
        if page.behind is not None and window_start == page.newest:
            ordered = ordered.filter(_behind(ordered, page.behind))
        # Rows that this version can't read are left out, so the first ones may not be enough.
        while len(ordered) and (more := count - len(records)) > 0:
            records += to_records(ordered.slice(0, more))
            ordered = ordered.slice(more)
        if len(records) >= count:
            break
    return records


def _behind(rows: pa.Table, position: _Position) -> pa.ChunkedArray:
    """Mask of the rows behind a position."""
    moment, image_id = position
    times = rows["received_at"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
    later = pc.and_(pc.equal(times, moment), pc.greater(rows["image_id"], image_id))
    return pc.or_(pc.less(times, moment), later)


def _cursor(record: ImageRecord) -> str:
    moment = round(record.received_at.timestamp() * 1000)
    return f"{layout.window_name(record.window_start)}.{moment}.{record.image_id}"


def _window_cursor(window_start: datetime) -> str:
    """Cursor behind all images of this window."""
    return f"{layout.window_name(window_start)}.0.{'f' * 32}"


def _parse_cursor(cursor: str | None) -> _Start:
    """Parse a cursor; raises InvalidCursor. A time of 0 is behind all images of the window."""
    if cursor is None:
        return _Start()
    match = _CURSOR.fullmatch(cursor)
    try:
        if match is not None:
            window_start, moment = layout.parse_window(match[1]), int(match[2])
            if moment > 0:
                return _Start(window_start, (moment, match[3]))
            return _Start(window_start - _SECOND)
    except (ValueError, OverflowError):  # no date
        match = None
    raise InvalidCursor("the cursor is invalid", value=cursor[:64])
