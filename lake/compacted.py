"""What compacted files say of themselves (docs/lake.md, "Compaction")."""

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from lake import layout
from lake.errors import UnreadableObject
from lake.object_store import ObjectStore, Stored
from lake.rows import metadata_bytes

# Holds the metadata of a file with a few row groups and a minute's sources.
_TAIL_BYTES = 2**17
_SOURCES = b"pixlake.sources"
_CUTS = b"pixlake.cuts"

Sources = tuple[tuple[str, str], ...]
"""Chain files as (name without folder, ETag), in order."""


@dataclass(frozen=True, slots=True)
class Footer:
    """What a compacted file was made of, and where the files of its hour begin."""

    sources: Sources
    cuts: tuple[datetime, ...]

    def encode(self) -> dict[bytes, str]:
        """As Parquet's key-value metadata."""
        cuts = [layout.home_name(cut) for cut in self.cuts]
        return {_SOURCES: json.dumps(self.sources), _CUTS: json.dumps(cuts)}


def sources_of(files: list[Stored]) -> Sources:
    """How a footer names these chain files."""
    return tuple((file.key.rsplit("/", 1)[-1], file.etag) for file in files)


async def read_footer(store: ObjectStore, stored: Stored) -> Footer:
    """The footer of that version; raises UnreadableObject, Mismatch, KeyMissing."""
    start = max(0, stored.size - _TAIL_BYTES)
    tail = await store.piece(stored.key, start, max(stored.size, 1), stored.etag)
    needed = stored.size - metadata_bytes(stored.key, tail[-8:])
    if needed < start:
        start = max(needed, 0)
        tail = await store.piece(stored.key, start, stored.size, stored.etag)
    return await asyncio.to_thread(_parse, stored.key, tail)


def _parse(key: str, tail: bytes) -> Footer:
    try:
        # The metadata are read from the end, so the end of the file will do.
        said = pq.read_metadata(pa.BufferReader(tail)).metadata
        sources = tuple((name, etag) for name, etag in json.loads(said[_SOURCES]))
        cuts = tuple(layout.parse_home(name) for name in json.loads(said[_CUTS]))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableObject(f"compacted file {key}: {error}", value=key) from error
    return Footer(sources, cuts)
