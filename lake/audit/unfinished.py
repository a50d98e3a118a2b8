"""Images without a row, which were either never acknowledged or lost their row.

The store can't distinguish the two cases, so audits leave marks. The first audit that finds such an
image journals its row and writes `audit/unfinished/<tenant>/<image_id>.json`. If the next audit
does not find the row, the row is lost.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from lake import layout
from lake.audit.scope import Scope
from lake.commit.journal import Journal
from lake.errors import KeyMissing
from lake.store.object_store import ObjectStore
from lake.tables.schema import ImageRecord

_AT_ONCE = 64


class Mark(BaseModel):
    """Mark for an image that had no row when an audit read it."""

    model_config = ConfigDict(frozen=True)

    attempt: str
    window_start: datetime
    seen_at: datetime


class Unfinished:
    """Reads the marks of earlier audits, and writes those of this audit."""

    def __init__(self, store: ObjectStore, journal: Journal, scope: Scope) -> None:
        self._store = store
        self._journal = journal
        self._scope = scope
        self._still: set[str] = set()

    async def finish(self, records: Sequence[ImageRecord]) -> frozenset[str]:
        """Journal missing rows; returns ids of images whose row was missing at an earlier audit.

        Ids of records that do not fit into a row are returned, too. Raises StoreUnavailable,
        StoreFull.
        """
        before: set[str] = set()
        for start in range(0, len(records), _AT_ONCE):
            batch = records[start : start + _AT_ONCE]
            marked = await asyncio.gather(*map(self._mark, batch))
            before |= {r.image_id for r, known in zip(batch, marked, strict=True) if known}
        bad = await self._journal.append_all(records)
        return frozenset(before | {record.image_id for record, _ in bad})

    async def clear(self) -> None:
        """Delete marks of images that have their row now, and marks of expired images."""
        async for stored in self._store.walk(layout.UNFINISHED):
            if stored.key in self._still:
                continue
            mark = await self._read(stored.key)
            if mark is None or self._is_settled(mark.window_start):
                await self._store.delete(stored.key)

    def _is_settled(self, window_start: datetime) -> bool:
        """True if this audit has checked the window, or the images of the window have expired."""
        return (
            self._scope.is_expired(window_start)
            or self._scope.start <= window_start < self._scope.settled
        )

    async def _mark(self, record: ImageRecord) -> bool:
        """Write a mark; returns True if this attempt of the image had one before."""
        key = layout.unfinished_key(record.tenant, record.image_id)
        self._still.add(key)
        known = await self._read(key)
        if known is not None and known.attempt == record.attempt:
            return True
        mark = Mark(
            attempt=record.attempt, window_start=record.window_start, seen_at=self._scope.now
        )
        await self._store.put(key, mark.model_dump_json().encode())
        return False

    async def _read(self, key: str) -> Mark | None:
        """Read a mark; None if it is missing or does not parse."""
        try:
            data, _ = await self._store.get(key)
            return Mark.model_validate_json(data)
        except (KeyMissing, ValueError):
            return None
