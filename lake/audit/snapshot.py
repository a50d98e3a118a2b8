"""Snapshot of an audit: Parquet files in a scratch folder, which DuckDB joins.

The snapshot of a million images takes 50 MB of disk and a few megabytes of memory per process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from lake.tables.columns import MS

_BATCH = 20_000

_NAME = [
    ("tenant", pa.string()),
    ("image_id", pa.string()),
    ("attempt", pa.string()),
    ("window_start", MS),
]
_ROW = [*_NAME, ("row_hash", pa.uint64())]
TABLES = {
    "records": pa.schema([*_ROW, ("content_hash", pa.string()), ("tombstone", pa.bool_())]),
    "rows": pa.schema([*_ROW, ("file", pa.string())]),
    "waiting": pa.schema([*_ROW, ("tombstone", pa.bool_())]),
    "erased": pa.schema([("image_id", pa.string()), ("window_start", MS), ("file", pa.string())]),
    "shadow": pa.schema([*_NAME, ("file", pa.string())]),
    "erasures": pa.schema([*_NAME, ("erased_at", MS), ("file", pa.string())]),
    "refusals": pa.schema(
        [("name", pa.string()), ("rejection_id", pa.string()), ("window_start", MS)]
    ),
    "faults": pa.schema([("code", pa.string()), ("subject", pa.string()), ("detail", pa.string())]),
}
"""Schemas of the snapshot.

`records`; `rows` of the chains; rows of the journal (`waiting`); erased ids in the footers of
segments (`erased`); rows of a shadow lake (`shadow`); entries of the audit log (`erasures`);
refused messages of records (`refusals`); `faults` found while reading.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Broken guarantee of one object: code of the check, key or id of the subject, description."""

    code: str
    subject: str
    detail: str


class SnapshotWriter:
    """Context manager that writes one process's share of the snapshot."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[str, list[tuple[object, ...]]] = {name: [] for name in TABLES}
        self._tables: dict[str, list[pa.Table]] = {name: [] for name in TABLES}
        self._writers: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in TABLES:
            self._flush(name)
        for writer in self._writers.values():
            writer.close()

    def add(self, name: str, *values: object) -> None:
        """Add one row to a table."""
        rows = self._waiting[name]
        rows.append(values)
        if len(rows) >= _BATCH:
            self._flush(name)

    def add_table(self, name: str, table: pa.Table) -> None:
        """Add many rows to a table; columns as in `TABLES`."""
        parts = self._tables[name]
        parts.append(table.cast(TABLES[name]))
        if sum(map(len, parts)) >= _BATCH:
            self._flush(name)

    def fault(self, code: str, subject: str, detail: str) -> None:
        """Add a fault."""
        self.add("faults", code, subject, detail)

    def faults(self, faults: Sequence[Finding]) -> None:
        """Add several faults."""
        for fault in faults:
            self.fault(fault.code, fault.subject, fault.detail)

    def _flush(self, name: str) -> None:
        rows, parts = self._waiting[name], self._tables[name]
        if rows:
            schema = TABLES[name]
            columns = zip(*rows, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            parts.append(pa.table(arrays, schema=schema))
            rows.clear()
        if parts:
            # Combine tables, because DuckDB reads few large row groups faster than many small ones.
            self._writer(name).write_table(pa.concat_tables(parts).combine_chunks())
            parts.clear()

    def _writer(self, name: str) -> pq.ParquetWriter:
        if name not in self._writers:
            path = self._folder / f"{name}-{uuid4().hex}.parquet"
            self._writers[name] = pq.ParquetWriter(path, TABLES[name], compression="lz4")
        return self._writers[name]
