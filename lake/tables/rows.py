"""Convert records to Arrow rows and back, and segments to bytes and back."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lake.logs import logger
from lake.tables.ids import parse_ids
from lake.tables.schema import IMAGES, ImageRecord
from lake.tables.table_file import ERASED, VERSION, TableFile, parse_erased
from lake.tables.tables import IMAGE_TABLE, Table

log = logger(__name__)

# Rows of a row group. DuckDB and Athena split their work by row groups.
ROW_GROUP = 131_072
# Rows decoded at once while a segment is rewritten; this bounds the memory.
_SLICE = 16_384


Row = dict[str, Any]
# Errors of Pydantic, Arrow and datetime for a row that is not a valid record.
_NO_RECORD = (ValueError, TypeError, OverflowError)


def to_table(records: Iterable[ImageRecord]) -> pa.Table:
    """Convert records to rows of `IMAGES`."""
    return IMAGE_TABLE.rows(records)


def to_records(table: pa.Table) -> list[ImageRecord]:
    """Convert rows of `IMAGES` to records; a null of an older row becomes the field's default.

    A row that is not a valid record, such as a row of a newer version, is left out and logged.
    """
    columns = table.select(IMAGES.names)
    try:
        rows: Iterable[Row] = columns.to_pylist()
        return [_to_record(row) for row in rows]
    except _NO_RECORD:
        singly = (_one_record(columns.slice(n, 1)) for n in range(len(columns)))
        return [record for record in singly if record is not None]


def _one_record(row: pa.Table) -> ImageRecord | None:
    try:
        return _to_record(row.to_pylist()[0])
    except _NO_RECORD as error:
        reason = " ".join(str(error).split())
        # The reason says it in one line.
        log.error("row is not a valid record", image_id=str(row["image_id"][0]), error=reason)  # noqa: TRY400
        return None


def _to_record(row: Row) -> ImageRecord:
    return ImageRecord.model_validate(
        {
            **_values(row),
            "metadata": dict(row["metadata"] or ()),
            "renditions": [_values(rendition) for rendition in row["renditions"]],
        }
    )


def _values(row: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if value is not None}


def in_order(
    rows: pa.Table, wanted: NDArray[np.bool_], of: Table = IMAGE_TABLE
) -> NDArray[np.int64]:
    """Return the indices of the wanted rows in the order of a segment: by time, then by id."""
    numbers = np.flatnonzero(wanted)
    times = rows[of.time].cast(pa.int64()).to_numpy()[numbers]
    ids = parse_ids(rows[of.id])[numbers]
    return numbers[np.lexsort((ids[:, 1], ids[:, 0], times))]


def without(images: pa.Table, ids: Iterable[str]) -> pa.Table:
    """Return the rows whose image id is not among `ids`."""
    gone = pa.array(sorted(ids), pa.string())
    return images.filter(pc.invert(pc.is_in(images["image_id"], gone))) if len(gone) else images


def encode_chain_file(
    images: pa.Table,
    erased: Iterable[str] = (),
    order: NDArray[np.int64] | None = None,
    of: Table = IMAGE_TABLE,
) -> bytes:
    """Encode a segment, which is Parquet: the rows with the indices `order`, or all rows.

    `erased` are ids that may never have a row in this window.
    """
    sink = io.BytesIO()
    rows = len(images) if order is None else len(order)
    with writer_of(sink, of, chain_footer(erased)) as writer:
        for start in range(0, rows, ROW_GROUP):
            if order is None:
                group = images.slice(start, ROW_GROUP)
            else:
                group = images.take(order[start : start + ROW_GROUP])
            group = group.cast(of.columns).replace_schema_metadata(writer.schema.metadata)
            writer.write_table(group)
    return sink.getvalue()


def without_rows(key: str, data: bytes, dead: frozenset[str]) -> bytes:
    """Rewrite a segment without the rows of erased ids, and add the ids to its footer.

    Columns of a newer version stay. Raises UnreadableObject.
    """
    source = TableFile(key, data, with_newer=True)
    held = source.read_columns(["image_id"])
    gone = frozenset(held["image_id"].to_pylist()) & dead
    sink = io.BytesIO()
    footer = chain_footer(erased_ids(key, held) | gone)
    with writer_of(sink, source.table, footer) as writer:
        for n in range(source.groups):
            kept = [without(part, gone) for part in source.slices(_SLICE, group=n)]
            table = pa.concat_tables([source.table.columns.empty_table(), *kept])
            writer.write_table(table.replace_schema_metadata(writer.schema.metadata))
    return sink.getvalue()


def chain_footer(erased: Iterable[str]) -> dict[bytes, str]:
    """Build a segment's footer: the ids that may never have a row in this window."""
    return {ERASED: json.dumps(sorted(set(erased)))}


def writer_of(sink: IO[bytes], of: Table, footer: Mapping[bytes, str]) -> pq.ParquetWriter:
    """Open a writer of a table's Parquet files; `footer` is written beside the schema version."""
    schema = of.columns.with_metadata({VERSION: str(of.version), **footer})
    sorting = [(of.time, "ascending"), (of.id, "ascending")]
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        # Most bytes are hex digits of hashes: level 1 packs them as well as level 3, and faster.
        compression_level=1,
        use_dictionary=of.repeating,
        data_page_version="1.0",  # Athena's engines read it without exceptions
        coerce_timestamps="ms",
        write_page_index=True,
        write_page_checksum=True,
        sorting_columns=pq.SortingColumn.from_ordering(schema, sorting),
    )


def decode_chain_file(
    key: str, source: object, columns: Sequence[str] | None = None, of: Table = IMAGE_TABLE
) -> pa.Table:
    """Decode the rows of a segment (bytes or a seekable file); raises UnreadableObject."""
    file = TableFile(key, source, of)
    return file.read() if columns is None else file.read_columns(columns)


def erased_ids(key: str, table: pa.Table) -> frozenset[str]:
    """Return the erased ids in a segment's footer; raises UnreadableObject."""
    return parse_erased(key, table.schema.metadata or {})
