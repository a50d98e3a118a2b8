"""Writer of large Parquet files that keeps one row group in memory; each is sorted by time."""

from collections.abc import Mapping
from typing import IO, Self

import numpy as np
import pyarrow as pa

from lake.tables.rows import ROW_GROUP, in_order, writer_of
from lake.tables.tables import Table


class RowGroups:
    """Context manager that collects tables into full row groups, inside that of the file.

    The rows of one group are in memory twice.
    """

    def __init__(self, file: IO[bytes], table: Table) -> None:
        self._table = table
        self._writer = writer_of(file, table, {})
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, rows: pa.Table) -> None:
        """Add rows of the table, which should be roughly in order of time."""
        while len(rows):
            part = rows.slice(0, ROW_GROUP - self._rows)
            rows = rows.slice(len(part))
            self._waiting.append(part)
            self._rows += len(part)
            if self._rows == ROW_GROUP:
                self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Close after an error, too; otherwise the garbage collector closes the writer later.
        self._writer.close()

    def close(self, footer: Mapping[bytes, str]) -> None:
        """Write the remaining rows and the footer."""
        self._flush()
        self._writer.add_key_value_metadata(dict(footer))
        self._writer.close()

    def _flush(self) -> None:
        group = pa.concat_tables([self._table.columns.empty_table(), *self._waiting])
        self._waiting.clear()
        self._rows = 0
        order = in_order(group, np.ones(len(group), np.bool_), self._table)
        group = group.take(order).replace_schema_metadata(self._writer.schema.metadata)
        if len(group):
            self._writer.write_table(group)
