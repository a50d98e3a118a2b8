"""Unsealed rows of one tenant, and the erasures that wait for a sealer.

A process reads each journal object once, to learn whose rows it has. Later listings read only the
objects with rows of their tenant.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from cachetools import LRUCache

from lake import layout
from lake.commit.journal_objects import JournalRows, decode_journals, distinct
from lake.store.bounded_gather import bounded_gather
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore

# Objects of two hours at 14 a second, 500 bytes each.
_MAX_OBJECTS = 100_000
# Objects whose bytes are in memory at once.
_AT_ONCE = 500

_Objects = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class _Content:
    """Content of a journal object: tenants of its rows, and erased ids."""

    tenants: frozenset[str]
    erased: frozenset[str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Unsealed rows of a tenant by window, each image once; erased ids by window."""

    rows: Mapping[datetime, pa.Table] = field(default_factory=dict)
    erased: Mapping[datetime, AbstractSet[str]] = field(default_factory=dict)


class WaitingRows:
    """Reads the journal for listings; an object that does not parse has no rows for them."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: LRUCache[str, _Content] = LRUCache(_MAX_OBJECTS)

    async def read(self, tenant: str, newest: datetime | None) -> Waiting:
        """Read what waits in the windows up to `newest`, or in all; raises StoreUnavailable."""
        names = layout.windows_of(await self._store.folders(layout.JOURNAL))
        windows = [each for each in names if newest is None or each <= newest]
        listings = await bounded_gather(self._objects, windows)
        by_window = {
            window_start: await self._contents([stored.key for stored in listed])
            for window_start, listed in zip(windows, listings, strict=True)
        }
        rows: dict[datetime, pa.Table] = {}
        erased: defaultdict[datetime, set[str]] = defaultdict(set)
        for window_start, contents in by_window.items():
            for content in contents.values():
                erased[window_start] |= content.erased
            mine = [key for key, content in contents.items() if tenant in content.tenants]
            if mine:
                rows[window_start] = await self._rows(mine, tenant)
        return Waiting(rows, erased)

    async def _objects(self, window_start: datetime) -> list[Stored]:
        return await self._store.objects(layout.journal_prefix(window_start))

    async def _contents(self, keys: Sequence[str]) -> dict[str, _Content]:
        known = {key: content for key in keys if (content := self._known.get(key)) is not None}
        new = [key for key in keys if key not in known]
        for start in range(0, len(new), _AT_ONCE):
            objects = await self._objects_of(new[start : start + _AT_ONCE])
            contents = await asyncio.to_thread(_contents_of, objects)
            self._known.update(contents)
            known |= contents
        return known

    async def _rows(self, keys: Sequence[str], tenant: str) -> pa.Table:
        return await asyncio.to_thread(_rows_of, await self._objects_of(keys), tenant)

    async def _objects_of(self, keys: Sequence[str]) -> _Objects:
        """Read objects; one that is gone was sealed meanwhile, and its rows are in the chain."""
        contents = zip(keys, await self._store.read_many(keys), strict=True)
        return [(key, data) for key, data in contents if data is not None]


def _contents_of(objects: _Objects) -> dict[str, _Content]:
    contents = {}
    for key, data in objects:
        decoded = decode_journals([(key, data)])
        if decoded.unreadable:  # a disk may return other bytes the next time
            continue
        rows = decoded.rows()
        tenants = frozenset(pc.unique(rows.images["tenant"]).to_pylist())
        contents[key] = _Content(tenants, frozenset(each.image_id for each in rows.tombstones))
    return contents


def _rows_of(objects: _Objects, tenant: str) -> pa.Table:
    images = decode_journals(objects).rows().images
    return distinct(JournalRows(images.filter(pc.equal(images["tenant"], tenant)))).images
