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
from collections.abc import AsyncIterator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

import pyarrow as pa

from lake import layout
from lake.errors import KeyMissing, UnreadableObject
from lake.logs import logger
from lake.read.cursors import FIRST, Start, cursor_behind, cursor_behind_window, parse_cursor
from lake.read.hours import Hour, Hours
from lake.read.image_filter import ImageFilter
from lake.read.waiting_rows import Waiting, WaitingRows
from lake.read.window_rows import Wanted, WindowRows, last_position
from lake.seal.segments import complete_chain, files_of
from lake.store.bounded_gather import bounded_gather
from lake.store.clock import StoreClock
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.rows import to_records
from lake.tables.schema import ImageRecord

log = logger(__name__)

# Windows and hours that are read at once; one at first, because most pages need no more.
_MOST_AT_ONCE = 16
LARGE_BYTES = 8 * 2**20
"""size of a segment from which a process has only one in memory at once"""
_Item = TypeVar("_Item")


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


@dataclass(frozen=True, slots=True)
class _Window:
    """Window that a page reads; `waits`: its journal may have rows or erasures.

    `indexed`: the index says that its segments may have rows of the tenant.
    """

    start: datetime
    hour: Hour
    waits: bool
    indexed: bool


@dataclass(frozen=True, slots=True)
class _Group:
    """Windows that are read at once, newest first; all windows before `end` were not read yet."""

    windows: Sequence[_Window]
    end: datetime


@dataclass(frozen=True, slots=True)
class _Found:
    """First wanted rows of a window; `end`: cursor behind them, None if it has no more."""

    start: datetime
    rows: pa.Table
    end: str | None


@dataclass(slots=True)
class _Filled:
    """Records of a page from some windows; `cursor` is behind the last row of them."""

    records: list[ImageRecord] = field(default_factory=list)
    cursor: str | None = None
    more: bool = False


class Listing:
    """Lists images; hides those that are erased or expired."""

    def __init__(self, store: ObjectStore, clock: StoreClock, bounds: Bounds = BOUNDS) -> None:
        self._store = store
        self._clock = clock
        self._bounds = bounds
        self._hours = Hours(store, clock)
        self._waiting = WaitingRows(store)
        self._large = asyncio.Lock()
        """lock of the one task that may have a large segment in memory"""

    async def page(self, tenant: str, limit: int, cursor: str | None, wanted: ImageFilter) -> Page:
        """List at most `limit` images; raises InvalidCursor, StoreUnavailable."""
        await self._clock.fresh()
        start = parse_cursor(cursor)
        cost = _Cost(self._bounds)
        waiting = await self._waiting.windows()
        selected: list[ImageRecord] = []
        behind: str | None = None
        async for group in self._groups(tenant, waiting, start, wanted):
            room = limit - len(selected)
            found = await self._rows(Wanted(tenant, wanted, None, limit + 1), group, start, cost)
            filled = await asyncio.to_thread(_first, found, room)
            selected += filled.records
            behind = filled.cursor or behind
            if filled.more:
                return Page(selected, behind)
            if cost.too_much:
                return Page(selected, cursor_behind_window(group.end))
        return Page(selected, None)

    async def _groups(
        self, tenant: str, waiting: AbstractSet[datetime], page: Start, wanted: ImageFilter
    ) -> AsyncIterator[_Group]:
        """Yield windows to read, newest first; more at once the longer it goes on."""
        hours = await self._hours.listed(waiting, page)
        oldest = self._oldest(wanted)
        for some in _growing(hours):
            candidates = await bounded_gather(partial(self._hours.candidates, tenant), some)
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

    def _oldest(self, wanted: ImageFilter) -> datetime:
        """Oldest window that may have a wanted row: an image is received before its attempt."""
        if wanted.since is None:
            return FIRST
        # The length of windows may have been changed; none is longer than an hour.
        before = layout.HOUR + self._clock.times.clock_difference
        return max(wanted.since, FIRST + before) - before

    async def _list(self, group: _Group, hour: Hour) -> None:
        """List the segments of an hour, after its journal if that has rows that may have moved."""
        if any(window.waits for window in group.windows if window.hour is hour):
            hour.segments = None
        await self._hours.segments(hour)

    async def _rows(self, wanted: Wanted, group: _Group, page: Start, cost: _Cost) -> list[_Found]:
        due = [window.start for window in group.windows if window.waits]
        waiting = await self._waiting.read(wanted.tenant, due)
        hours = dict.fromkeys(window.hour for window in group.windows)
        await bounded_gather(partial(self._list, group), list(hours))

        async def read(window: _Window) -> _Found:
            behind = page.behind if window.start == page.newest else None
            rows = await self._window(replace(wanted, behind=behind), window, waiting, cost)
            first = await asyncio.to_thread(rows.rows)
            return _Found(window.start, first, rows.end and cursor_behind(window.start, rows.end))

        return await bounded_gather(read, group.windows)

    async def _window(
        self, wanted: Wanted, window: _Window, waiting: Waiting, cost: _Cost
    ) -> WindowRows:
        """Read the first wanted rows of a window, sealed or not, without erased images."""
        unsealed = waiting.rows.get(window.start)
        rows = WindowRows(wanted, unsealed, waiting.erased.get(window.start, frozenset()))
        files, complete = await self._files(window.start, await self._hours.segments(window.hour))
        if not complete:
            rows.add_unreadable()
        elif unsealed is None and not window.indexed:
            found = await self._hours.index_of(wanted.tenant, files)
            if found is not None and window.start not in found:
                return rows
        for file in files:
            cost.bytes += file.size
            try:
                await self._add(rows, file)
            except (UnreadableObject, KeyMissing) as error:
                log.warning(
                    "segment does not parse; its rows are not listed", key=file.key, error=error
                )
                rows.add_unreadable()
        return rows

    async def _files(
        self, window_start: datetime, listed: Sequence[Stored]
    ) -> tuple[Sequence[Stored], bool]:
        """Segments of a window, and False if one of them is lost."""
        try:
            return (await complete_chain(self._store, window_start, listed)).files, True
        except UnreadableObject as error:
            log.warning("segment is lost; its rows are not listed", error=error)
            return files_of(window_start, listed), False

    async def _add(self, rows: WindowRows, file: Stored) -> None:
        """Add the rows of a segment; raises UnreadableObject, KeyMissing, StoreUnavailable."""
        if file.size <= LARGE_BYTES:
            data, _ = await self._store.get(file.key)
            await asyncio.to_thread(rows.add, file.key, data)
            return
        async with self._large:
            stream = await self._store.stream(file.key)
            # A GET of the whole object has its bytes in memory twice.
            large = bytearray(stream.end - stream.start)
            at = 0
            async for chunk in stream.chunks:
                large[at : at + len(chunk)] = chunk
                at += len(chunk)
            await asyncio.to_thread(rows.add, file.key, large)


def _growing(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """Split a sequence: one element, then two, then four, up to `_MOST_AT_ONCE`."""
    start, count = 0, 1
    while start < len(items):
        yield items[start : start + count]
        start, count = start + count, min(2 * count, _MOST_AT_ONCE)


def _first(found: Sequence[_Found], room: int) -> _Filled:
    """Convert the first rows of windows to at most `room` records.

    Rows that this version can't read are left out, so a page may have fewer records than rows.
    """
    filled = _Filled()
    for window in found:
        rows = window.rows
        while len(rows) and (count := room - len(filled.records)):
            part, rows = rows.slice(0, count), rows.slice(count)
            filled.records += to_records(part)
            filled.cursor = cursor_behind(window.start, last_position(part))
        if len(rows) or window.end:
            filled.more = True
            filled.cursor = filled.cursor if len(rows) else window.end
            break
    return filled
