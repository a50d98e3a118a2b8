"""Conversion of rows of any schema version to this one."""

from collections.abc import Iterable
from functools import cache

import pyarrow as pa

from lake.logs import logger
from lake.old_columns import refuse_old_columns
from lake.tables.tables import IMAGE_TABLE, Table

log = logger(__name__)


def conform(table: pa.Table, of: Table = IMAGE_TABLE, key: str = "") -> pa.Table:
    """Convert a table of any schema version to this one; columns that it lacks become null.

    Raises OldColumns, with the `key` of the object that has the rows.
    """
    metadata = table.schema.metadata
    if table.schema.equals(of.columns):
        return table
    refuse_old_columns("object with rows", key, table.column_names)
    say_newer(of, table.column_names)
    columns = [
        table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(len(table), f.type)
        for f in of.columns
    ]
    return pa.table(columns, schema=of.columns).replace_schema_metadata(metadata)


def without_holes(rows: pa.Table) -> pa.Table:
    """Return the rows; raises ValueError for a null in a column that a segment requires."""
    for column, kind in zip(rows.columns, rows.schema, strict=True):
        if column.null_count and not kind.nullable:
            raise ValueError(f"{kind.name} is missing")
    return rows


def say_newer(of: Table, columns: Iterable[str]) -> None:
    """Log once which of these columns the table of this version does not have."""
    if newer := set(columns) - set(of.columns.names):
        _say_once(of.name, tuple(sorted(newer)))


@cache
def _say_once(table: str, newer: tuple[str, ...]) -> None:
    """Log once for each set of columns: there are many such rows during an upgrade."""
    log.warning("a newer version wrote rows; its columns are ignored", table=table, columns=newer)
