"""SQL access to the lake: a DuckDB connection with views `images`, `rejections` and `usage`.

The store is a folder or S3. A view reads hours before the watermark from the compacted files, and
later hours from the chains. The watermark is read when the view is created; lake/seal/compaction.py
explains why an older watermark is correct, too. Rows are hidden from the second at which they
expire by the clock of the store, as in the API.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from lake import layout
from lake.errors import LakeError
from lake.read.sql_files import SqlFiles
from lake.settings import LakeSettings
from lake.store.reading_time import store_time
from lake.tables.tables import IMAGE_TABLE, PARTITIONS, SQL_TABLES, SqlTable


class QueryFailed(LakeError):
    """DuckDB refused the statement; the message is DuckDB's own."""

    code = "query_failed"


class Views:
    """Views of the sealed rows of each table: its columns, then `dt` and `hour`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, oldest: datetime) -> None:
        self._connection = connection
        self.oldest = oldest
        """latest start of a window whose rows had expired when the views were created"""

    @classmethod
    def open(
        cls,
        settings: LakeSettings,
        waiting: pa.Table | None = None,
        *,
        now: datetime | None = None,
    ) -> "Views":
        """Create the views on the existing files; raises LakeError if the store can't be read.

        `waiting` are unsealed rows of images; the view includes those that are in no file. `now` is
        the time of the store; without it, the store is asked.
        """
        files = SqlFiles(settings)
        kept = files.settings()
        kept.check(settings)
        now = now or store_time(settings)
        # The clock of this machine may be wrong. The view goes on from the store's time.
        ahead = now - datetime.now(UTC)
        clock = f"(now() + to_microseconds({ahead // timedelta(microseconds=1)}))"
        days, floor = kept.days(now), kept.oldest(now)
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        for table in SQL_TABLES:
            none = f"{table.name}_none"
            connection.register(none, pa.schema([*table.columns, *PARTITIONS]).empty_table())
            sides = _sides(connection, files, table, layout.hour_of(floor))
            if waiting is not None and table is IMAGE_TABLE:
                sides.append(_unsealed(connection, waiting, sides, none))
            # BY NAME, because files of other versions have fewer or more columns.
            rows = " UNION ALL BY NAME ".join(
                [f"SELECT * FROM {none}", *sides]  # noqa: S608  # our own text
            )
            connection.execute(
                f"CREATE VIEW {table.name} AS SELECT * FROM ({rows}) "  # noqa: S608
                f"WHERE window_start + INTERVAL {days} DAY > {clock} "
                # Also hide rows that expired before the retention was extended.
                f"AND window_start > TIMESTAMPTZ '{floor.isoformat()}' "
                # Skip whole days by folder, so that no file is opened that may be deleted.
                f"AND dt >= greatest(CAST({clock} AS DATE) - {days}, DATE '{floor:%Y-%m-%d}')"
            )
        return cls(connection, floor)

    def query(self, sql: str) -> pa.Table:
        """Run one statement; raises QueryFailed, also for more than one."""
        try:
            count = len(self._connection.extract_statements(sql))
            if count != 1:
                raise QueryFailed("one statement at a time", limit=1, value=count)
            relation = self._connection.sql(sql)
            # DuckDB returns None for a statement without a result, such as SET.
            return pa.table({}) if relation is None else relation.to_arrow_table()
        except duckdb.Error as error:
            raise QueryFailed(str(error)) from error


def _unsealed(
    connection: duckdb.DuckDBPyConnection, waiting: pa.Table, sides: list[str], none: str
) -> str:
    """SELECT of the unsealed rows that are in no file.

    A file may still have the row of an expired image with the same id, of another window.
    """
    connection.register("images_waiting", waiting)
    sealed = " UNION ALL BY NAME ".join([f"SELECT * FROM {none}", *sides])  # noqa: S608  # our own text
    return (
        "SELECT *, CAST(window_start AS DATE) AS dt, CAST(hour(window_start) AS INTEGER) AS hour "  # noqa: S608
        "FROM images_waiting WHERE (image_id, window_start) NOT IN "
        f"(SELECT image_id, window_start FROM ({sealed}))"
    )


def _sides(
    connection: duckdb.DuckDBPyConnection, files: SqlFiles, table: SqlTable, oldest: datetime
) -> list[str]:
    """SELECTs for each side of the watermark that has files, without hours before `oldest`.

    Files of such hours may be deleted at any time.
    """
    watermark = files.watermark(table)
    chains, compacted = table.folders.chains, table.folders.compacted
    if files.folder is not None:
        begin = max(oldest, watermark or oldest)
        sides = [
            [path for hour, path in files.hours(chains).items() if hour >= begin],
            [path for hour, path in files.hours(compacted).items() if oldest <= hour < begin],
        ]
        return [f"SELECT * FROM {_parquet(side)}" for side in sides if side]  # noqa: S608
    selects = {chains: "true"}
    if watermark is not None:
        day, hour = f"DATE '{watermark:%Y-%m-%d}'", watermark.hour
        # The conditions use partition columns only, so that no other file is opened.
        selects = {
            chains: f"(dt > {day} OR (dt = {day} AND hour >= {hour}))",
            compacted: f"(dt < {day} OR (dt = {day} AND hour < {hour}))",
        }
    return [
        f"SELECT * FROM {_dataset(connection, files, root, table)} WHERE {hours}"  # noqa: S608
        for root, hours in selects.items()
        if files.exist(root)
    ]


def _parquet(patterns: Sequence[str]) -> str:
    """Table function for the files of some hours; no other file is opened for its columns."""
    quoted = ", ".join("'{}'".format(pattern.replace("'", "''")) for pattern in sorted(patterns))
    return (
        f"read_parquet([{quoted}], union_by_name = true, hive_partitioning = true, "
        "hive_types = {'dt': DATE, 'hour': INTEGER})"
    )


def _dataset(
    connection: duckdb.DuckDBPyConnection, files: SqlFiles, root: str, table: SqlTable
) -> str:
    """Register a folder of a bucket as a data set; returns its name."""
    name = root.replace("/", "_")
    dataset = ds.dataset(
        files.path(root),
        schema=pa.schema([*table.columns, *PARTITIONS]),
        filesystem=files.system,
        format="parquet",
        partitioning=ds.partitioning(PARTITIONS, flavor="hive"),
    )
    connection.register(name, dataset)
    return name
