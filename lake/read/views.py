"""SQL access to the lake: a DuckDB connection with views `images`, `rejections` and `usage`.

The store is a folder or S3. A view reads hours before the watermark from the compacted files, and
later hours from the chains. The watermark is read when the view is created; lake/seal/compaction.py
explains why an older watermark is correct, too. Rows are hidden from the second at which they
expire by the clock of the store, as in the API.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs

from lake import layout
from lake.errors import LakeError, StoreMissing, UnreadableObject
from lake.seal.watermark import parse_watermark
from lake.settings import LakeSettings
from lake.store.reading_time import store_time
from lake.store.store_settings import StoreSettings, parse_store_settings
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
        files = _Files(settings)
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


class _Files:
    """Files of the store, read by pyarrow, because DuckDB would have to download its S3 reader."""

    def __init__(self, settings: LakeSettings) -> None:
        url = urlsplit(settings.location)
        self.system: pyarrow.fs.FileSystem
        if url.scheme == "file":
            self.system = pyarrow.fs.LocalFileSystem()
            self._root = unquote(url.path)
            self.folder: Path | None = Path(self._root)
        elif url.scheme == "s3":
            secret = settings.s3_secret_access_key
            self.system = pyarrow.fs.S3FileSystem(
                access_key=settings.s3_access_key_id,
                secret_key=secret.get_secret_value() if secret else None,
                region=settings.s3_region,
                endpoint_override=settings.s3_endpoint,
            )
            self._root = "/".join(part for part in (url.netloc, url.path.strip("/")) if part)
            self.folder = None
        else:
            raise LakeError(
                f"SQL reads a folder or a bucket, not {settings.location!r}; set PIXLAKE_STORE_URL "
                "to s3://bucket/prefix or file:///folder"
            )

    def settings(self) -> StoreSettings:
        """Read the settings of the store; raises StoreMissing, LakeError."""
        try:
            with self.system.open_input_stream(self.path(layout.STORE)) as file:
                return parse_store_settings(file.read())
        except FileNotFoundError:
            where = f"{self._root}: it has no {layout.STORE}"
            raise StoreMissing(f"there is no lake at {where}; `pixlake up` creates one") from None
        except OSError as error:
            raise LakeError(f"the store can't be read: {error}") from error

    def path(self, key: str) -> str:
        """Path of a key in the file system."""
        return f"{self._root}/{key}"

    def hours(self, root: str) -> dict[datetime, str]:
        """Patterns of the hours of a table's folder that have files."""
        found = {}
        for folder in (self.folder or Path()).joinpath(root).glob("dt=*/hour=*"):
            hour = layout.parse_partition(f"{folder.parent.name}/{folder.name}")
            if hour is not None and next(folder.glob("*.parquet"), None) is not None:
                found[hour] = str(folder / "*.parquet")
        return found

    def exist(self, key: str) -> bool:
        """True if a file or a folder exists; raises LakeError."""
        try:
            kind = self.system.get_file_info(self.path(key)).type
        except OSError as error:
            raise LakeError(f"the store can't be read: {error}") from error
        return bool(kind != pyarrow.fs.FileType.NotFound)

    def watermark(self, table: SqlTable) -> datetime | None:
        """Time before which the compacted files have every row; None: do not read them."""
        key = layout.watermark_key(table.folders)
        if not self.exist(key):
            return None
        with self.system.open_input_file(self.path(key)) as file:
            try:
                return parse_watermark(key, file.read()).complete_before
            except UnreadableObject:
                return None  # the compactor writes it anew, and the chains have all rows


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
    connection: duckdb.DuckDBPyConnection, files: _Files, table: SqlTable, oldest: datetime
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
    connection: duckdb.DuckDBPyConnection, files: _Files, root: str, table: SqlTable
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
