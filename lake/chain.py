"""The chain of a home: `<home>-<n>.parquet`, n = 0, 1, 2 …, what analysts read.

Only who has read files 0 … n-1 may create file n, create-only. So no id is ever in two files.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from lake import layout
from lake.errors import KeyMissing, UnreadableObject
from lake.object_store import ObjectStore
from lake.rows import decode_chain_file, erased_ids


@dataclass(frozen=True, slots=True)
class ChainFile:
    """One file as it was read: its rows' ids, the erased ids of its footer, its ETag."""

    key: str
    etag: str
    ids: frozenset[str]
    erased: frozenset[str]


@dataclass(frozen=True, slots=True)
class Chain:
    """All files of a home as they were read; `len(files)` is the next number."""

    home: datetime
    files: tuple[ChainFile, ...]

    @property
    def next_key(self) -> str:
        """Key of the file that may be created by who has read this chain."""
        return layout.chain_key(self.home, len(self.files))

    @property
    def ids(self) -> frozenset[str]:
        """Ids with a row in the chain."""
        return frozenset().union(*(file.ids for file in self.files))

    @property
    def erased(self) -> frozenset[str]:
        """Ids that may never have a row in this home."""
        return frozenset().union(*(file.erased for file in self.files))


async def read_chain(store: ObjectStore, home: datetime) -> Chain:
    """Read ids and footers of a home; raises UnreadableObject, StoreUnavailable.

    A chain with a hole is unreadable: with a file missing nobody can know which ids are in it.
    """
    keys = await chain_keys(store, home)
    files = await asyncio.gather(*(_read_file(store, key) for key in keys))
    return Chain(home, tuple(files))


async def chain_keys(store: ObjectStore, home: datetime) -> Sequence[str]:
    """Keys of a home's files in order; raises UnreadableObject when one is missing."""
    numbers = sorted(
        parsed[1]
        for stored in await store.objects(layout.hour_prefix(home))
        if (parsed := layout.parse_chain_key(stored.key)) and parsed[0] == home
    )
    if numbers != list(range(len(numbers))):
        raise UnreadableObject(f"the chain of {layout.home_name(home)} has a hole: {numbers}")
    return [layout.chain_key(home, n) for n in numbers]


async def read_rows(store: ObjectStore, key: str) -> pa.Table:
    """All rows of one chain file; raises UnreadableObject, StoreUnavailable."""
    data, _ = await _get(store, key)
    return await asyncio.to_thread(decode_chain_file, key, data)


async def _read_file(store: ObjectStore, key: str) -> ChainFile:
    data, etag = await _get(store, key)
    table = await asyncio.to_thread(decode_chain_file, key, data, ["image_id"])
    return ChainFile(key, etag, frozenset(table["image_id"].to_pylist()), erased_ids(key, table))


async def _get(store: ObjectStore, key: str) -> tuple[bytes, str]:
    try:
        data, stored = await store.get(key)
    except KeyMissing as error:  # listed a moment ago: somebody deletes where nobody may
        raise UnreadableObject(f"chain file {key} went away", value=key) from error
    return data, stored.etag
