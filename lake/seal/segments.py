"""Chain of a window: the Parquet files `<window>-<n>.parquet`, n = 0, 1, 2 …, which queries read.

A process creates file n, create-only, only after it has read files 0 … n-1. So no id is in two
files.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from cachetools import LRUCache

from lake import layout
from lake.errors import KeyMissing, UnreadableObject
from lake.seal.parquet_columns import ColumnReader
from lake.seal.sizes import SIZES, SealerSizes
from lake.store.idle_executor import IdleExecutor
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.ids import IdSet, parse_ids
from lake.tables.rows import decode_chain_file, erased_ids
from lake.tables.tables import IMAGE_TABLE, Table


@dataclass(frozen=True, slots=True)
class Chain:
    """Listed files of a window; `len(files)` is the number of the next file."""

    window_start: datetime
    files: tuple[Stored, ...]
    table: Table = IMAGE_TABLE

    @property
    def next_key(self) -> str:
        """Key of the next file; only a process that has read all files may create it."""
        return layout.chain_key(self.window_start, len(self.files), self.table.folders)

    def extended(self, file: Stored) -> "Chain":
        """Chain with one more file, which the caller has just created."""
        return Chain(self.window_start, (*self.files, file), self.table)


@dataclass(frozen=True, slots=True)
class Known:
    """Ids that may not get another row, by one file: ids of its rows, erased ids of its footer."""

    ids: IdSet
    erased: IdSet

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return self.ids.nbytes + self.erased.nbytes


class Chains:
    """Reads chains and the ids in their files; caches ids up to `known_bytes` of memory.

    The cache saves requests when clients send the same content again for days.
    """

    def __init__(
        self,
        store: ObjectStore,
        idle_executor: IdleExecutor,
        sizes: SealerSizes = SIZES,
        table: Table = IMAGE_TABLE,
    ) -> None:
        self._store = store
        self._table = table
        self._idle_executor = idle_executor
        self._columns = ColumnReader(
            store,
            idle_executor.run,
            of=table,
            whole_bytes=sizes.whole_bytes,
            tail_bytes=sizes.tail_bytes,
        )
        self._known: LRUCache[tuple[str, str], Known] = LRUCache(
            sizes.known_bytes, getsizeof=lambda known: known.nbytes
        )

    async def read(self, window_start: datetime) -> Chain:
        """List the files of a window; raises UnreadableObject, StoreUnavailable."""
        listed = await self._store.objects(layout.hour_prefix(window_start, self._table.folders))
        return await complete_chain(self._store, window_start, listed, self._table)

    async def known(self, file: Stored) -> Known:
        """Read the ids of a file; raises Mismatch if the file was rewritten after its listing.

        Also raises UnreadableObject, StoreUnavailable.
        """
        version = file.key, file.etag
        if (cached := self._known.get(version)) is not None:
            return cached
        try:
            known = await self._read_known(file)
        except KeyMissing as error:  # listed a moment ago, and no process may delete segments
            raise UnreadableObject(f"segment {file.key} is missing", value=file.key) from error
        self.remember(file, known)
        return known

    def remember(self, file: Stored, known: Known) -> None:
        """Cache the ids of one version of a file; the least recently used ones make room."""
        with suppress(ValueError):  # larger than the whole cache
            self._known[file.key, file.etag] = known

    async def _read_known(self, file: Stored) -> Known:
        table = await self._columns.read(file, [self._table.id])
        return await self._idle_executor.run(parse_known, file.key, table, self._table)


def chain_of(window_start: datetime, listed: Iterable[Stored], table: Table = IMAGE_TABLE) -> Chain:
    """Select the chain of a window from the files of its hour.

    Raises UnreadableObject if a file is missing, because the ids in the missing file are unknown.
    """
    files = _by_number(window_start, listed)
    if list(files) != list(range(len(files))):
        name = layout.window_name(window_start)
        raise UnreadableObject(
            f"the chain of {name} lacks a file: it has the numbers {list(files)}", value=name
        )
    return Chain(window_start, tuple(files.values()), table)


def files_of(window_start: datetime, listed: Iterable[Stored]) -> Sequence[Stored]:
    """Select the files of a window from those of its hour, also if the chain lacks some."""
    return list(_by_number(window_start, listed).values())


def _by_number(window_start: datetime, listed: Iterable[Stored]) -> dict[int, Stored]:
    """Files of a window by their numbers, in the order of the numbers."""
    parsed = [(layout.parse_chain_key(stored.key), stored) for stored in listed]
    files = {each[1]: stored for each, stored in parsed if each and each[0] == window_start}
    return dict(sorted(files.items()))


async def complete_chain(
    store: ObjectStore, window_start: datetime, listed: Iterable[Stored], table: Table = IMAGE_TABLE
) -> Chain:
    """Chain by a listing of its hour, or by another one if that lacks a file.

    The pages of a listing are of different moments, and file 10 comes before file 2. So a page may
    lack a file that is new while a later page has its successors. Raises UnreadableObject if the
    second listing lacks a file, too; StoreUnavailable.
    """
    try:
        return chain_of(window_start, listed, table)
    except UnreadableObject:
        again = await store.objects(layout.hour_prefix(window_start, table.folders))
        return chain_of(window_start, again, table)


async def chain_keys(store: ObjectStore, window_start: datetime) -> Sequence[str]:
    """List the keys of a window's files in order; raises UnreadableObject if one is missing."""
    listed = await store.objects(layout.hour_prefix(window_start))
    chain = await complete_chain(store, window_start, listed)
    return [file.key for file in chain.files]


async def read_rows(store: ObjectStore, key: str) -> pa.Table:
    """Read all rows of one segment; raises UnreadableObject, StoreUnavailable."""
    try:
        data, _ = await store.get(key)
    except KeyMissing as error:
        raise UnreadableObject(f"segment {key} is missing", value=key) from error
    return await asyncio.to_thread(decode_chain_file, key, data)


def parse_known(key: str, table: pa.Table, of: Table) -> Known:
    """Parse the ids of a segment and of its footer; raises UnreadableObject."""
    try:
        return Known(ids=IdSet(parse_ids(table[of.id])), erased=IdSet.of(erased_ids(key, table)))
    except ValueError as error:
        raise UnreadableObject(f"segment {key}: {error}", value=key) from error
