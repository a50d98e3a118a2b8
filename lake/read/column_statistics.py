"""Null share, minimum and maximum of a table's columns, from the footers of its Parquet files.

No row is read. The figures are those of the files: rows that have expired, but are not yet deleted,
count as well.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lake import layout
from lake.errors import LakeError
from lake.read.sql_files import SqlFiles
from lake.settings import LakeSettings
from lake.store.reading_time import store_time
from lake.tables.tables import PARTITIONS, SqlTable

# Footers of a bucket are read at the same time, because each takes a round trip or two.
_AT_ONCE = 16


@dataclass(slots=True)
class ColumnStatistics:
    """Statistics of one column; None: no row, or the files do not say."""

    rows: int = 0
    nulls: int | None = 0
    minimum: Any = None
    maximum: Any = None

    @property
    def null_share(self) -> float | None:
        """Fraction of the rows that are null, 0 to 1."""
        return None if self.nulls is None or not self.rows else self.nulls / self.rows

    def add(self, rows: int, statistics: Any) -> None:
        """Add the statistics of a column chunk; None: the column is not in its file."""
        self.rows += rows
        if statistics is None:
            self.nulls = None if self.nulls is None else self.nulls + rows
            return
        known = statistics.has_null_count and self.nulls is not None
        self.nulls = self.nulls + statistics.null_count if known else None
        if statistics.has_min_max:
            self.widen(statistics.min, statistics.max)

    def widen(self, minimum: Any, maximum: Any) -> None:
        """Include these values in the range."""
        self.minimum = minimum if self.minimum is None else min(self.minimum, minimum)
        self.maximum = maximum if self.maximum is None else max(self.maximum, maximum)


def column_statistics(settings: LakeSettings, table: SqlTable) -> dict[str, ColumnStatistics]:
    """Statistics of the columns without inner fields, by name; raises LakeError."""
    files = SqlFiles(settings)
    kept = files.settings()
    kept.check(settings)
    oldest = layout.hour_of(kept.oldest(store_time(settings)))
    found = {f.name: ColumnStatistics() for f in table.columns if not pa.types.is_nested(f.type)}
    hours = {f.name: ColumnStatistics() for f in PARTITIONS}
    for hour, footer in _footers(files, table, oldest):
        _add(found, footer)
        for name, value in (("dt", hour.date()), ("hour", hour.hour)):
            hours[name].rows += footer.num_rows
            hours[name].widen(value, value)
    return found | hours


def _footers(
    files: SqlFiles, table: SqlTable, oldest: datetime
) -> Iterator[tuple[datetime, pq.FileMetaData]]:
    paths = [(hour, path) for hour, each in files.parquet(table, oldest).items() for path in each]

    def footer(path: str) -> pq.FileMetaData | None:
        try:
            return pq.read_metadata(path, filesystem=files.system)
        except FileNotFoundError:
            return None  # the sweeper or an erasure deleted the file meanwhile
        except (OSError, pa.ArrowException) as error:
            raise LakeError(f"a footer can't be read: {error}") from error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        read = pool.map(footer, [path for _, path in paths])
        for (hour, _), metadata in zip(paths, read, strict=True):
            if metadata is not None:
                yield hour, metadata


def _add(found: dict[str, ColumnStatistics], footer: pq.FileMetaData) -> None:
    for n in range(footer.num_row_groups):
        group = footer.row_group(n)
        chunks = {chunk.path_in_schema: chunk for chunk in _chunks(group)}
        for name, column in found.items():
            chunk = chunks.get(name)
            if chunk is None:
                column.add(group.num_rows, None)
            elif chunk.is_stats_set:
                column.add(group.num_rows, chunk.statistics)
            else:
                column.rows, column.nulls = column.rows + group.num_rows, None


def _chunks(group: pq.RowGroupMetaData) -> Iterable[pq.ColumnChunkMetaData]:
    return (group.column(n) for n in range(group.num_columns))
