"""Rows on their way: records to Arrow, journal objects and chain files to bytes, and back."""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from lake.errors import UnreadableObject
from lake.schema import IMAGES, SCHEMA_VERSION, TOMBSTONES, ImageRecord, Tombstone

_ERASED = b"pixlake.erased"
_VERSION = b"pixlake.schema_version"
# Facts of the format, not knobs: 128k rows a group is what DuckDB and Athena split work by.
_ROW_GROUP = 131_072
_SORTING = [("received_at", "ascending"), ("image_id", "ascending")]


@dataclass(frozen=True, slots=True)
class JournalRows:
    """What one journal object, or several together, hold."""

    images: pa.Table = field(default_factory=IMAGES.empty_table)
    tombstones: tuple[Tombstone, ...] = ()


def to_table(records: Iterable[ImageRecord]) -> pa.Table:
    """Records as rows of `IMAGES`."""
    rows = [record.model_dump(exclude={"kind"}) for record in records]
    for row in rows:
        row["metadata"] = list(row["metadata"].items())
    return pa.Table.from_pylist(rows, schema=IMAGES)


def to_records(table: pa.Table) -> list[ImageRecord]:
    """Rows of `IMAGES` as records."""
    return [
        ImageRecord.model_validate({**row, "metadata": dict(row["metadata"] or ())})
        for row in table.select(IMAGES.names).to_pylist()
    ]


def encode_images(records: Sequence[ImageRecord]) -> bytes:
    """One journal object with rows."""
    return _ipc(to_table(records))


def encode_tombstone(tombstone: Tombstone) -> bytes:
    """One journal object with an erasure."""
    return _ipc(pa.Table.from_pylist([tombstone.model_dump(exclude={"kind"})], schema=TOMBSTONES))


def decode_journal(key: str, data: bytes) -> JournalRows:
    """Rows of one journal object; raises UnreadableObject."""
    try:
        with pyarrow.ipc.open_file(pa.py_buffer(data)) as reader:
            table = reader.read_all()
        if "erased_at" in table.column_names:
            found = tuple(Tombstone.model_validate(row) for row in table.to_pylist())
            return JournalRows(tombstones=found)
        return JournalRows(images=conform(table))
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise UnreadableObject(f"journal object {key}: {error}", value=key) from error


def merge(parts: Iterable[JournalRows]) -> JournalRows:
    """Several journal objects as one, each image id once."""
    parts = list(parts)
    images = distinct(pa.concat_tables([IMAGES.empty_table(), *(part.images for part in parts)]))
    return JournalRows(images, tuple(t for part in parts for t in part.tombstones))


def distinct(images: pa.Table) -> pa.Table:
    """Each image id once (rows of one id are equal: all are copies of its record), sorted."""
    ordered = images.sort_by([("image_id", "ascending")])
    ids = ordered["image_id"].combine_chunks()
    if len(ids) > 1:
        fresh = pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1))
        ordered = ordered.filter(pa.concat_arrays([pa.array([True]), fresh]))
    return ordered.sort_by(_SORTING)


def without(images: pa.Table, ids: Iterable[str]) -> pa.Table:
    """The rows whose image id is not among `ids`."""
    gone = pa.array(sorted(ids), pa.string())
    return images.filter(pc.invert(pc.is_in(images["image_id"], gone))) if len(gone) else images


def encode_chain_file(images: pa.Table, erased: Iterable[str] = ()) -> bytes:
    """One Parquet file of a chain; `erased` are ids that may never have a row in this home."""
    footer = {_VERSION: str(SCHEMA_VERSION), _ERASED: json.dumps(sorted(set(erased)))}
    sink = io.BytesIO()
    pq.write_table(
        images.replace_schema_metadata(footer),
        sink,
        row_group_size=_ROW_GROUP,
        compression="zstd",
        compression_level=3,
        data_page_version="1.0",  # Athena's engines read it without exceptions
        coerce_timestamps="ms",
        write_page_index=True,
        write_page_checksum=True,
        sorting_columns=pq.SortingColumn.from_ordering(images.schema, _SORTING),
    )
    return sink.getvalue()


def decode_chain_file(key: str, source: object, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of a chain file (bytes or a seekable file); raises UnreadableObject."""
    try:
        if isinstance(source, bytes):
            source = pa.BufferReader(source)
        table = pq.ParquetFile(source, page_checksum_verification=True).read(columns=columns)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableObject(f"chain file {key}: {error}", value=key) from error
    return table if columns is not None else conform(table)


def erased_ids(key: str, table: pa.Table) -> frozenset[str]:
    """The erased ids in a chain file's footer; raises UnreadableObject."""
    try:
        return frozenset(json.loads((table.schema.metadata or {})[_ERASED]))
    except (KeyError, ValueError) as error:
        raise UnreadableObject(f"chain file {key} has no list of erased ids", value=key) from error


def conform(table: pa.Table) -> pa.Table:
    """A table of any schema version as one of today's: new columns are null, order is ours."""
    metadata = table.schema.metadata
    columns = [
        table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(len(table), f.type)
        for f in IMAGES
    ]
    return pa.table(columns, schema=IMAGES).replace_schema_metadata(metadata)


def _ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
    with pyarrow.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())
