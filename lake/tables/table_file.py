"""Parquet file of a table, decoded whole or in parts.

Any byte of a file may be damaged. The pages have checksums, their headers and the footer have none.
So nothing else in this project gives bytes of the store to PyArrow's Parquet reader: this module
turns all of its errors into UnreadableObject, and does not call what ends the process.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from lake.errors import UnreadableObject
from lake.old_columns import refuse_old_columns
from lake.tables.conforming import conform, without_holes
from lake.tables.tables import IMAGE_TABLE, Table

VERSION = b"pixlake.schema_version"
"""Key of the schema version in the footer."""
ERASED = b"pixlake.erased"
"""Key of the erased ids in the footer of a segment."""

_IDS = TypeAdapter(list[str])


class TableFile:
    """Parquet file of a table, from bytes or a seekable file.

    Every method raises UnreadableObject, and OldColumns for a file of before 0.1.0.
    `with_newer`: also decode the columns of newer versions.
    """

    def __init__(
        self, key: str, source: object, of: Table = IMAGE_TABLE, *, with_newer: bool = False
    ) -> None:
        self._key = key
        with self._decoding():
            if isinstance(source, bytes | bytearray):
                source = pa.BufferReader(pa.py_buffer(source))
            self._file = pq.ParquetFile(source, page_checksum_verification=True)
            self._schema: pa.Schema = self._file.schema_arrow
            of_file = self._file.metadata
            self.metadata: dict[bytes, bytes] = dict(of_file.metadata or {})
            """metadata in the footer, by key"""
            self.groups = int(self._file.num_row_groups)
            """number of row groups"""
            self.rows = int(of_file.num_rows)
            """number of rows, as the footer says"""
            self.table = _as_written(self._schema, of) if with_newer else of
            """table whose columns the rows have"""

    @property
    def erased(self) -> frozenset[str]:
        """Erased ids in the footer of a segment."""
        return parse_erased(self._key, self.metadata)

    def read(self) -> pa.Table:
        """Decode all rows."""
        with self._decoding():
            return self._conformed(self._file.read())

    def read_columns(self, names: Sequence[str]) -> pa.Table:
        """Decode columns of all rows."""
        self._check(names)
        with self._decoding():  # one column is one task
            return self._typed(self._file.read(list(names), use_threads=False), names)

    def none(self, names: Sequence[str]) -> pa.Table:
        """No row, with columns and the metadata in the footer."""
        self._check(names)
        return self._typed(self._schema.empty_table(), names)

    def read_group(self, group: int, names: Sequence[str]) -> pa.Table:
        """Decode columns of a row group."""
        self._check(names)
        with self._decoding():
            rows = self._file.read_row_group(group, list(names), use_threads=False)
            return self._typed(rows, names)

    def slices(
        self, size: int, *, group: int | None = None, names: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """Decode rows, at most `size` at once: those of a row group, or all; all columns or some.

        Columns that the file lacks become null.
        """
        with self._decoding():
            conform(self._schema.empty_table(), self.table, self._key)
            groups = None if group is None else [group]
            columns = None if names is None else list(names)
            parts = self._file.iter_batches(
                size, row_groups=groups, columns=columns, use_threads=False
            )
            while (part := next(parts, None)) is not None:
                rows = pa.Table.from_batches([part])
                if names is None:
                    yield self._conformed(rows)
                else:
                    yield self._typed(rows, names)

    def _check(self, names: Sequence[str]) -> None:
        """Raise an error if the file lacks one of these columns."""
        with self._decoding():
            refuse_old_columns("segment", self._key, self._schema.names)
            if lacking := set(names) - set(self._schema.names):
                raise ValueError(f"it lacks the columns {', '.join(sorted(lacking))}")

    def _conformed(self, rows: pa.Table) -> pa.Table:
        return without_holes(conform(rows, self.table, self._key))

    def _typed(self, rows: pa.Table, names: Sequence[str]) -> pa.Table:
        kinds = [self.table.columns.field(name) for name in names]
        held = set(rows.column_names)
        columns = [
            rows[kind.name].cast(kind.type) if kind.name in held else pa.nulls(len(rows), kind.type)
            for kind in kinds
        ]
        return without_holes(pa.table(columns, schema=pa.schema(kinds, rows.schema.metadata)))

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        try:
            yield
        # KeyError: a damaged schema names a column twice.
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            text = f"Parquet file {self._key}: {error}"
            raise UnreadableObject(text, value=self._key) from error


def parse_erased(key: str, metadata: Mapping[bytes, bytes]) -> frozenset[str]:
    """Parse the erased ids in a segment's metadata; raises UnreadableObject."""
    try:
        return frozenset(_IDS.validate_json(metadata[ERASED]))
    except (KeyError, ValueError) as error:
        raise UnreadableObject(f"segment {key} has no list of erased ids", value=key) from error


def metadata_bytes(key: str, end: bytes) -> int:
    """Return the size of a Parquet file's footer in bytes; `end`: the file's last 8 bytes.

    Raises UnreadableObject.
    """
    if end[4:] != b"PAR1":
        raise UnreadableObject(f"{key} is not a Parquet file", value=key)
    return int.from_bytes(end[:4], "little") + len(end)


def _as_written(schema: pa.Schema, of: Table) -> Table:
    """Return the table with all columns of a file, including those of newer versions."""
    columns = pa.unify_schemas(
        [of.columns, schema.remove_metadata()],
        promote_options="permissive",  # merges the fields of `renditions`, too
    )
    if columns.equals(of.columns):
        return of
    version = max(int((schema.metadata or {}).get(VERSION, b"0")), of.version)
    return replace(of, version=version, columns=columns)
