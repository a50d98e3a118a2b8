"""Reader of some columns of a Parquet file in the store; the other bytes are not fetched."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lake.errors import UnreadableObject
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.rows import decode_chain_file, metadata_bytes

# Size up to which one GET of the whole file costs less than several GETs of pieces.
_WHOLE_BYTES = 256 * 1024
# Last bytes of a larger file; enough for the metadata of a few row groups.
_TAIL_BYTES = 2**16


async def read_columns(store: ObjectStore, file: Stored, names: Sequence[str]) -> pa.Table:
    """Read columns of one version of a file.

    Raises UnreadableObject, Mismatch or KeyMissing if the file was changed, StoreUnavailable.
    """
    if not file.size:  # an empty range is an error of the store
        raise UnreadableObject(f"{file.key} is empty", value=file.key)
    if file.size <= _WHOLE_BYTES:
        source: object = await store.piece(file.key, 0, file.size, file.etag)
    else:
        source = await _pieces(store, file, names)
    return await asyncio.to_thread(decode_chain_file, file.key, source, list(names))


async def _pieces(store: ObjectStore, file: Stored, names: Sequence[str]) -> pa.BufferReader:
    """Fetch metadata and columns; the other bytes of the buffer are zeros."""
    # Pages of zeros that are never accessed take no memory.
    image = np.zeros(file.size, np.uint8)

    async def fetch(start: int, end: int) -> None:
        data = await store.piece(file.key, start, end, file.etag)
        image[start:end] = np.frombuffer(data, np.uint8)

    start = file.size - min(file.size, _TAIL_BYTES)
    await fetch(start, file.size)
    needed = file.size - metadata_bytes(file.key, image[-8:].tobytes())
    if needed < start:
        await fetch(max(needed, 0), start)
    source = pa.BufferReader(pa.py_buffer(image))
    spans = await asyncio.to_thread(_spans, file.key, source, frozenset(names))
    await asyncio.gather(*(fetch(*span) for span in spans))
    return pa.BufferReader(pa.py_buffer(image))


def _spans(key: str, source: object, names: frozenset[str]) -> list[tuple[int, int]]:
    """Find the bytes of columns, one span for each column of each row group."""
    try:
        metadata = pq.read_metadata(source)
        groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableObject(f"{key}: {error}", value=key) from error
    spans = []
    for group in groups:
        for chunk in (group.column(n) for n in range(group.num_columns)):
            if chunk.path_in_schema in names:
                # Files of some writers have an offset of 0 in place of none.
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                spans.append((start, start + chunk.total_compressed_size))
    return spans
