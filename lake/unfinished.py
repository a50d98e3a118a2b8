"""Images without a row: never acknowledged, or a loss. The store can't tell, so audits remember.

The first audit that finds one journals its row and leaves a mark; the row must be there when the
next one comes. `audit/unfinished/<tenant>/<image_id>.json` holds the mark.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from lake import layout
from lake.errors import KeyMissing
from lake.journal import Journal
from lake.object_store import ObjectStore
from lake.schema import ImageRecord
from lake.scope import Scope

_AT_ONCE = 64


class Mark(BaseModel):
    """That an image had no row, when an audit looked."""

    model_config = ConfigDict(frozen=True)

    attempt: str
    home: datetime
    seen_at: datetime


class Unfinished:
    """The marks of earlier audits, and those that this one leaves."""

    def __init__(self, store: ObjectStore, journal: Journal, scope: Scope) -> None:
        self._store = store
        self._journal = journal
        self._scope = scope
        self._still: set[str] = set()

    async def finish(self, records: Sequence[ImageRecord]) -> frozenset[str]:
        """Journal the rows of images that lack them; returns ids that lacked them before, too.

        So do those that no row can be made of. Raises StoreUnavailable or StoreFull.
        """
        before: set[str] = set()
        for start in range(0, len(records), _AT_ONCE):
            some = records[start : start + _AT_ONCE]
            marked = await asyncio.gather(*map(self._mark, some))
            before |= {r.image_id for r, known in zip(some, marked, strict=True) if known}
        bad = await self._journal.append_all(records)
        return frozenset(before | {record.image_id for record, _ in bad})

    async def clear(self) -> None:
        """Forget images that have their row now, and those that expired."""
        async for stored in self._store.walk(layout.UNFINISHED):
            if stored.key in self._still:
                continue
            mark = await self._read(stored.key)
            if mark is None or self._is_settled(mark.home):
                await self._store.delete(stored.key)

    def _is_settled(self, home: datetime) -> bool:
        """Whether this audit has looked at the home, or nobody will any more."""
        return self._scope.is_expired(home) or self._scope.start <= home < self._scope.settled

    async def _mark(self, record: ImageRecord) -> bool:
        """Leave a mark; whether there was one of this very image."""
        key = layout.unfinished_key(record.tenant, record.image_id)
        self._still.add(key)
        known = await self._read(key)
        if known is not None and known.attempt == record.attempt:
            return True
        mark = Mark(attempt=record.attempt, home=record.home, seen_at=self._scope.now)
        await self._store.put(key, mark.model_dump_json().encode())
        return False

    async def _read(self, key: str) -> Mark | None:
        """The mark, or None where there is none that parses."""
        try:
            data, _ = await self._store.get(key)
            return Mark.model_validate_json(data)
        except (KeyMissing, ValueError):
            return None
