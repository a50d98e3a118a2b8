"""Index of the windows in which a tenant has rows, so that listings read no others.

The index is in the Parquet files themselves: their columns `tenant` and `window_start` repeat, so
they take a few kilobytes of a file. Each process reads them once for each version of a file, and
again after a restart. The index only says which windows need not be read; rows are never taken from
it.
"""

import asyncio
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from cachetools import LRUCache
from numpy.typing import NDArray

from lake.errors import KeyMissing, Mismatch, UnreadableObject
from lake.seal.compacted import cuts_of
from lake.seal.parquet_columns import ColumnReader
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore

# Memory of the index: 8 million pairs of tenant and window.
_MAX_BYTES = 64 * 2**20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Holdings:
    """Windows by tenant of one file: `windows[begins[n]:begins[n + 1]]` are those of `tenants[n]`.

    Windows are in milliseconds since 1970.
    """

    tenants: tuple[str, ...]
    begins: NDArray[np.int64]
    windows: NDArray[np.int64]
    cuts: tuple[datetime, ...] = ()
    """first window of each copy of the file's hour; none for a segment"""

    @property
    def nbytes(self) -> int:
        """Memory in bytes, roughly."""
        return 500 + 120 * len(self.tenants) + self.windows.nbytes

    def of(self, tenant: str) -> set[datetime]:
        """Windows in which the file has rows of a tenant."""
        at = bisect_left(self.tenants, tenant)
        if at == len(self.tenants) or self.tenants[at] != tenant:
            return set()
        found = self.windows[self.begins[at] : self.begins[at + 1]]
        return {_EPOCH + timedelta(milliseconds=int(each)) for each in found}


class TenantIndex:
    """Reads and caches the holdings of files, by version."""

    def __init__(self, store: ObjectStore, max_bytes: int = _MAX_BYTES) -> None:
        self._columns = ColumnReader(store)
        self._known: LRUCache[tuple[str, str], Holdings] = LRUCache(
            max_bytes, getsizeof=lambda each: each.nbytes
        )

    async def holdings(self, file: Stored) -> Holdings | None:
        """Read the holdings of a file; None if they are unknown: the file was changed, or is cut.

        Raises StoreUnavailable.
        """
        version = file.key, file.etag
        if (known := self._known.get(version)) is not None:
            return known
        try:
            rows = await self._columns.read(file, ("tenant", "window_start"))
        except (UnreadableObject, Mismatch, KeyMissing):
            return None
        try:
            found = await asyncio.to_thread(_holdings, rows)
        except (ValueError, TypeError):  # the footer is damaged
            return None
        with suppress(ValueError):  # larger than the whole index
            self._known[version] = found
        return found


def _holdings(rows: pa.Table) -> Holdings:
    pairs = rows.group_by(["tenant", "window_start"]).aggregate([])
    pairs = pairs.sort_by([("tenant", "ascending"), ("window_start", "ascending")])
    names = pairs["tenant"].to_numpy()
    windows = pairs["window_start"].cast(pa.int64()).to_numpy()
    tenants, begins = np.unique(names.astype(str), return_index=True)
    return Holdings(
        tuple(str(each) for each in tenants),
        np.append(begins, len(names)).astype(np.int64),
        windows,
        cuts_of(rows.schema.metadata or {}),
    )
