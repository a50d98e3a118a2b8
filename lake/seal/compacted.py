"""Listing and footers of compacted files (docs/lake.md, "Compaction")."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from lake import layout
from lake.errors import UnreadableObject
from lake.seal.segments import complete_chain
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.table_file import TableFile, metadata_bytes
from lake.tables.tables import Table

# Large enough for the metadata of a file with a few row groups and a minute's sources.
_TAIL_BYTES = 2**17
_SOURCES = b"pixlake.sources"
_CUTS = b"pixlake.cuts"
_UNREADABLE = b"pixlake.unreadable"
_KEPT = b"pixlake.kept"

Sources = tuple[tuple[str, str], ...]
"""Segments as (name without folder, ETag), in order."""


@dataclass(frozen=True, slots=True)
class Footer:
    """Footer of a compacted file: segments, and the first window of each file of its hour."""

    sources: Sources
    cuts: tuple[datetime, ...]
    unreadable: tuple[str, ...] = ()
    """names of the segments that do not parse, whose rows this file lacks"""
    kept: tuple[str, ...] = ()
    """names of the segments that do not parse, whose rows are those of an earlier copy"""
    rows: int = field(default=0, compare=False)
    """number of rows, as Parquet's own metadata say"""

    def encode(self) -> dict[bytes, str]:
        """Encode the footer as Parquet's key-value metadata."""
        cuts = [layout.window_name(cut) for cut in self.cuts]
        encoded = {_SOURCES: json.dumps(self.sources), _CUTS: json.dumps(cuts)}
        if self.unreadable:
            encoded[_UNREADABLE] = json.dumps(self.unreadable)
        if self.kept:
            encoded[_KEPT] = json.dumps(self.kept)
        return encoded


@dataclass(slots=True)
class Hour:
    """Listing of one hour: compacted files by first window, segments by window."""

    start: datetime
    compacted: dict[datetime, Stored]
    chains: dict[datetime, tuple[Stored, ...]]
    cuts: tuple[datetime, ...] = ()
    unread: set[str] = field(default_factory=set)
    """names of the segments that did not parse when its copies were made"""

    def sources(self, cut: datetime) -> list[Stored]:
        """Segments of the compacted file whose first window is `cut`."""
        later = [other for other in self.cuts if other > cut]
        end = min(later, default=self.start + layout.HOUR)
        return [
            stored
            for window_start in sorted(self.chains)
            if cut <= window_start < end
            for stored in self.chains[window_start]
        ]

    def planned(self, target: int) -> tuple[datetime, ...]:
        """First windows of compacted files of about `target` bytes, by the size of the chains."""
        cuts, size = [self.start], 0
        for window_start in sorted(self.chains):
            weight = sum(stored.size for stored in self.chains[window_start])
            if size and size + weight > target:
                cuts.append(window_start)
                size = 0
            size += weight
        return tuple(cuts)


async def list_hour(store: ObjectStore, start: datetime, table: Table) -> Hour:
    """List the files of an hour; raises UnreadableObject if a chain lacks a file."""
    # List compacted files before chains, so that no file is replaced by one of older chains.
    compacted = {}
    for stored in await store.objects(layout.compacted_prefix(start, table.folders)):
        first = layout.parse_compacted_key(stored.key)
        if first is not None:
            compacted[first] = stored
    files = await store.objects(layout.hour_prefix(start, table.folders))
    windows = {parsed[0] for file in files if (parsed := layout.parse_chain_key(file.key))}
    chains = {
        window_start: (await complete_chain(store, window_start, files, table)).files
        for window_start in windows
    }
    return Hour(start, compacted, chains)


def sources_of(files: list[Stored]) -> Sources:
    """Names and ETags of segments, as in a footer."""
    return tuple((name_of(file), file.etag) for file in files)


def name_of(file: Stored) -> str:
    """Return the name of a file without its folder."""
    return file.key.rsplit("/", 1)[-1]


async def read_footer(store: ObjectStore, stored: Stored) -> Footer:
    """Read the footer of one version of a file; raises UnreadableObject, Mismatch, KeyMissing."""
    if not stored.size:  # an empty range is an error of the store
        raise UnreadableObject(f"compacted file {stored.key} is empty", value=stored.key)
    start = max(0, stored.size - _TAIL_BYTES)
    tail = await store.piece(stored.key, start, stored.size, stored.etag)
    needed = stored.size - metadata_bytes(stored.key, tail[-8:])
    if needed < start:
        start = max(needed, 0)
        tail = await store.piece(stored.key, start, stored.size, stored.etag)
    return await asyncio.to_thread(_parse, stored.key, tail)


def cuts_of(metadata: Mapping[bytes, bytes]) -> tuple[datetime, ...]:
    """First window of each copy of an hour, by the footer of one; none by that of a segment.

    Raises ValueError, TypeError.
    """
    names = json.loads(metadata.get(_CUTS, b"[]"))
    return tuple(layout.parse_window(name) for name in names)


def _parse(key: str, tail: bytes) -> Footer:
    # PyArrow finds the metadata from the end of a file, so the last bytes suffice.
    file = TableFile(key, tail)
    metadata = file.metadata
    try:
        sources = tuple((name, etag) for name, etag in json.loads(metadata[_SOURCES]))
        cuts = cuts_of({_CUTS: metadata[_CUTS]})
        unreadable, kept = (
            tuple(str(name) for name in json.loads(metadata.get(key, "[]")))
            for key in (_UNREADABLE, _KEPT)
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableObject(f"compacted file {key}: {error}", value=key) from error
    return Footer(sources, cuts, unreadable, kept, file.rows)
