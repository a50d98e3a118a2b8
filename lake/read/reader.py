"""Reader of committed images: one record, its bytes, and a listing, newest first."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from lake import layout
from lake.commit.erasure import look_up
from lake.commit.journal_objects import distinct
from lake.commit.journal_reading import read_journal
from lake.errors import (
    ImageErased,
    ImageExpired,
    ImageNotFound,
    InvalidCursor,
    KeyMissing,
    UnreadableObject,
)
from lake.logs import logger
from lake.seal.segments import chain_keys, read_rows
from lake.store.clock import StoreClock
from lake.store.object_store import ObjectStore, Stream
from lake.tables.rows import erased_ids, to_records, without
from lake.tables.schema import ImageRecord, Tombstone

log = logger(__name__)

# Limit of windows in one call, so that a tenant with few images does not read the whole lake.
_MAX_WINDOWS_A_PAGE = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Page of a listing, newest window first; `cursor` is None on the last page."""

    records: Sequence[ImageRecord]
    cursor: str | None


class Reader:
    """Reads committed images of a tenant; hides expired ones to the second."""

    def __init__(self, store: ObjectStore, clock: StoreClock) -> None:
        self._store = store
        self._clock = clock

    async def record(self, tenant: str, image_id: str) -> ImageRecord:
        """Read a record; raises ImageNotFound, ImageErased, ImageExpired, StoreUnavailable."""
        await self._clock.fresh()
        if not layout.IMAGE_ID.fullmatch(image_id):
            raise ImageNotFound(f"no image {image_id[:64]!r}", value=image_id[:64])
        record = await look_up(self._store, tenant, image_id)
        if self._expired(record.window_start):
            raise ImageExpired(f"image {image_id} is past its retention", value=image_id)
        if isinstance(record, Tombstone):
            raise ImageErased("this image was erased", value=image_id)
        return record

    async def has(self, tenant: str, image_id: str) -> bool:
        """True if the image exists; raises StoreUnavailable."""
        try:
            await self.record(tenant, image_id)
        except (ImageNotFound, ImageErased, ImageExpired):
            return False
        return True

    async def content(self, key: str, byte_range: tuple[int, int] | None = None) -> Stream:
        """Open bytes [start, end) of an original or a rendition; raises ImageNotFound."""
        try:
            return await self._store.stream(key, byte_range)
        except KeyMissing:
            raise ImageNotFound("this image was just deleted", value=key) from None

    async def page(self, tenant: str, limit: int, cursor: str | None = None) -> Page:
        """List at most `limit` images, newest window first, sealed or not; raises InvalidCursor."""
        await self._clock.fresh()
        start = _parse_cursor(cursor)
        selected: list[ImageRecord] = []
        looked = 0
        async for window_start in self._windows(start[0] if start else None):
            records = await self._window_records(tenant, window_start)
            if start and window_start == start[0]:
                records = [r for r in records if _position(r) > start[1]]
            for record in records:
                if len(selected) == limit:
                    return Page(selected, _cursor(selected[-1]))
                selected.append(record)
            looked += 1
            if looked == _MAX_WINDOWS_A_PAGE:
                return Page(selected, _window_cursor(window_start))
        return Page(selected, None)

    def _expired(self, window_start: datetime) -> bool:
        return self._clock.has_expired(window_start)

    async def _windows(self, newest: datetime | None) -> AsyncIterator[datetime]:
        """Yield windows with rows, newest first, not after `newest`, not expired."""
        waiting = layout.windows_of(await self._store.folders(layout.JOURNAL))
        hours = {layout.hour_prefix(window_start) for window_start in waiting} | set(
            await self._hours()
        )
        for hour in sorted(hours, reverse=True):
            sealed = [layout.parse_chain_key(s.key) for s in await self._store.objects(hour)]
            windows = {
                window_start for window_start in waiting if layout.hour_prefix(window_start) == hour
            }
            windows |= {
                parsed[0] for parsed in sealed if parsed and layout.hour_prefix(parsed[0]) == hour
            }
            for window_start in sorted(windows, reverse=True):
                if self._expired(window_start):
                    return
                if newest is None or window_start <= newest:
                    yield window_start

    async def _hours(self) -> list[str]:
        days = await self._store.folders(layout.LAKE_IMAGES)
        return [
            f"{layout.LAKE_IMAGES}/{day}/{hour}"
            for day in days
            for hour in await self._store.folders(f"{layout.LAKE_IMAGES}/{day}")
        ]

    async def _window_records(self, tenant: str, window_start: datetime) -> list[ImageRecord]:
        """Read the rows of a window; the journal first, because rows move from it to the chain."""
        listed = await self._store.objects(layout.journal_prefix(window_start))
        # Rows that were sealed meanwhile are in the chain. The sealer reports unreadable objects.
        waiting = distinct((await read_journal(self._store, listed)).rows())
        dead = {tombstone.image_id for tombstone in waiting.tombstones}
        rows: list[ImageRecord] = []
        complete = True
        for key in await chain_keys(self._store, window_start):
            try:
                table = await read_rows(self._store, key)
            except UnreadableObject as error:
                log.warning("segment does not parse; its rows are not listed", key=key, error=error)
                complete = False
                continue
            rows += to_records(table)
            # A late replay may have journaled a row again after the tombstone was consumed.
            dead |= erased_ids(key, table)
        listed_ids = {record.image_id for record in rows}
        # An unreadable segment may name erased images, so waiting rows are not shown beside it.
        fresh = to_records(without(waiting.images, dead | listed_ids)) if complete else []
        records = [*rows, *fresh]
        mine = [r for r in records if r.tenant == tenant and r.image_id not in dead]
        return sorted(mine, key=_position)


def _position(record: ImageRecord) -> tuple[float, str]:
    """Order within a window: newest first, then by id."""
    return -record.received_at.timestamp(), record.image_id


def _cursor(record: ImageRecord) -> str:
    moment = round(record.received_at.timestamp() * 1000)
    return f"{layout.window_name(record.window_start)}.{moment}.{record.image_id}"


def _window_cursor(window_start: datetime) -> str:
    """Cursor behind all images of this window."""
    return f"{layout.window_name(window_start)}.0.{'f' * 32}"


def _parse_cursor(cursor: str | None) -> tuple[datetime, tuple[float, str]] | None:
    if cursor is None:
        return None
    try:
        window_start, moment, image_id = cursor.split(".")
        return layout.parse_window(window_start), (-int(moment) / 1000, image_id)
    except ValueError:
        raise InvalidCursor("the cursor is invalid", value=cursor[:64]) from None
