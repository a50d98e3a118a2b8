"""Hashes of rows over all columns: a record and its row have the same hash in every file.

The hashes are compared within one audit only and are never stored.
"""

from collections.abc import Sequence
from functools import cache

import duckdb
import pyarrow as pa

from lake.errors import UnreadableObject
from lake.tables.table_file import TableFile
from lake.tables.tables import Journaled, Table

HASH = "row_hash"
"""Column of the hashes."""

# Rows that are decoded and hashed at once; this bounds the memory for a file of any size.
BATCH = 16_384
_MEMORY = "256MB"
_MAGIC = b"PAR1"


def hashed(rows: pa.Table, of: Table, columns: Sequence[str]) -> pa.Table:
    """Select `columns` of some rows of a table, and add the hash of each row over all columns."""
    whole = [_without_null(rows[field.name], field) for field in of.columns]
    structs = pa.table(whole, schema=of.columns).to_struct_array()
    # A cursor is a connection of its own, because several threads call this function. A query over
    # one column of structs is planned in a fraction of the time of one over many columns.
    with _connection().cursor() as connection:
        relation = connection.from_arrow(pa.table({"row": structs}))
        hashes = relation.project(f'hash("row") AS {HASH}').to_arrow_table()[HASH]
    return rows.select(columns).append_column(HASH, hashes)


def hashed_records(records: Sequence[Journaled], of: Table) -> list[int | None]:
    """Hash the row of each record; None for a record that does not fit into a row."""
    if not records:
        return []
    try:
        return _hashes(records, of)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        if len(records) == 1:
            return [None]
        return [number for record in records for number in hashed_records([record], of)]


class RowFile:
    """Parquet file of a table; raises UnreadableObject when it is opened, and while it is read."""

    def __init__(self, key: str, data: bytes, of: Table) -> None:
        self._key = key
        if data[:4] != _MAGIC:  # PyArrow looks at the end only, other readers at both
            raise UnreadableObject(f"Parquet file {key} does not begin as one", value=key)
        self._file = TableFile(key, data, of)
        # Several files are read at once, so threads for the columns of one cost only time.
        self._slices = self._file.slices(BATCH)
        self.left = self._file.rows
        """number of rows that are not read yet"""

    def read(self) -> pa.Table:
        """Read the next rows, and check the checksums of their pages."""
        rows = next(self._slices, None)
        if rows is None:
            raise UnreadableObject(f"Parquet file {self._key} lacks rows", value=self._key)
        self.left -= len(rows)
        return rows

    @property
    def erased(self) -> frozenset[str]:
        """Erased ids in the footer of a segment."""
        return self._file.erased


class RowBuffer:
    """Collects rows of several files, because hashing takes 12 ms for any small number of rows."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._rows = 0

    def add(self, rows: pa.Table) -> pa.Table | None:
        """Add rows; returns all collected rows once they are enough to be hashed."""
        self._tables.append(rows)
        self._rows += len(rows)
        return self.drain() if self._rows >= BATCH else None

    def drain(self) -> pa.Table | None:
        """Return the collected rows, and begin anew; None if there are none."""
        tables, self._tables, self._rows = self._tables, [], 0
        return pa.concat_tables(tables).combine_chunks() if tables else None


def _hashes(records: Sequence[Journaled], of: Table) -> list[int | None]:
    hashes: list[int | None] = hashed(of.rows(records), of, [])[HASH].to_pylist()
    return hashes


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '{_MEMORY}'")
    connection.execute("SET threads = 1")  # the caller's threads are enough
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _without_null(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """Replace null by the default of the record: an older row has null for an empty list or map."""
    is_list = pa.types.is_list(field.type) or pa.types.is_map(field.type)
    if not is_list or not column.null_count:
        return column
    return pa.chunked_array([pa.array([x or [] for x in column.to_pylist()], field.type)])
