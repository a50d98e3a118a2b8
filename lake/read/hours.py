"""Hours of a listing, and the windows in them that have rows of a tenant."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from lake import layout
from lake.read.cursors import Start
from lake.read.tenant_index import TenantIndex
from lake.seal.watermark import read_watermark
from lake.store.bounded_gather import bounded_gather
from lake.store.clock import StoreClock
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore


@dataclass(slots=True, eq=False)
class Hour:
    """Copies of an hour, if readers may use them, and its segments; None: not listed yet."""

    start: datetime
    copies: list[Stored] = field(default_factory=list)
    segments: list[Stored] | None = None


class Hours:
    """Lists hours; knows by their files which windows have rows of a tenant."""

    def __init__(self, store: ObjectStore, clock: StoreClock) -> None:
        self._store = store
        self._clock = clock
        self._index = TenantIndex(store)

    async def listed(self, waiting: AbstractSet[datetime], page: Start) -> list[Hour]:
        """List the hours with rows, newest first, with their copies up to the watermark."""
        watermark = (await read_watermark(self._store, layout.IMAGE_ROWS))[0].complete_before
        hours = {start: Hour(start) for start in map(layout.hour_of, waiting)}
        for stored in await self._store.objects(layout.IMAGE_ROWS.compacted):
            first = layout.parse_compacted_key(stored.key)
            if first is not None and first < watermark:
                start = layout.hour_of(first)
                hours.setdefault(start, Hour(start)).copies.append(stored)
        for start in await self._of_segments():
            hours.setdefault(start, Hour(start))
        return [
            hours[start]
            for start in sorted(hours, reverse=True)
            if page.admits(start) and not self._has_expired(start)
        ]

    async def _of_segments(self) -> list[datetime]:
        """List the hours that have segments."""
        days = await self._store.folders(layout.LAKE_IMAGES)
        folders = [f"{layout.LAKE_IMAGES}/{day}" for day in days]
        hours = await bounded_gather(self._store.folders, folders)
        names = [f"{day}/{name}" for day, of in zip(days, hours, strict=True) for name in of]
        return [hour for name in names if (hour := layout.parse_partition(name)) is not None]

    def _has_expired(self, start: datetime) -> bool:
        return self._clock.has_expired(start + layout.HOUR)

    async def candidates(self, tenant: str, hour: Hour) -> set[datetime]:
        """Windows of an hour that may have sealed rows of a tenant."""
        # The copies of an hour before the watermark may be lost; its segments have the rows.
        found = await self.index_of(tenant, hour.copies or await self.segments(hour))
        if found is None:
            parsed = (layout.parse_chain_key(stored.key) for stored in await self.segments(hour))
            return {each[0] for each in parsed if each}
        return found

    async def index_of(self, tenant: str, files: Sequence[Stored]) -> set[datetime] | None:
        """Windows in which files have rows of a tenant; None: unknown, or a copy is lost.

        Each copy of an hour names all of them.
        """
        found: set[datetime] = set()
        copies: set[datetime] = set()
        for holdings in await bounded_gather(self._index.holdings, files):
            if holdings is None:
                return None
            found |= holdings.of(tenant)
            copies.update(holdings.cuts)
        there = {layout.parse_compacted_key(file.key) for file in files}
        return found if copies <= there else None

    async def segments(self, hour: Hour) -> list[Stored]:
        """List the segments of an hour, once for each `Hour`; raises StoreUnavailable."""
        if hour.segments is None:
            hour.segments = await self._store.objects(layout.hour_prefix(hour.start))
        return hour.segments
