"""The lake as SQL: a DuckDB connection with the view `images`, over a folder or over S3.

The view hides what is past its retention, to the second, as the API does.
"""

from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs

from lake import layout
from lake.errors import LakeError
from lake.schema import IMAGES
from lake.settings import LakeSettings

_PARTITIONS = pa.schema([("dt", pa.date32()), ("hour", pa.int32())])


class QueryFailed(LakeError):
    """DuckDB refused the statement; the message is DuckDB's own."""

    code = "query_failed"


class Views:
    """The sealed rows, as the view `images`; columns of `IMAGES`, then `dt` and `hour`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, settings: LakeSettings) -> "Views":
        """Over the files that are there now; raises LakeError where the store can't be read."""
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        url = urlsplit(settings.location)
        if url.scheme == "file":
            source = _folder(connection, Path(url.path))
        elif url.scheme == "s3":
            source = _bucket(connection, settings)
        else:
            raise LakeError(f"SQL reads a folder or a bucket, not {settings.location!r}")
        connection.execute(
            f"CREATE VIEW images AS SELECT * FROM {source} "  # noqa: S608  # our own text
            f"WHERE home + INTERVAL {settings.retention_days} DAY > now() "
            # Whole days by their folder: a query opens no file that the sweeper may delete.
            f"AND dt >= current_date - {settings.retention_days}"
        )
        return cls(connection)

    def query(self, sql: str) -> pa.Table:
        """Run one statement; raises QueryFailed."""
        try:
            relation = self._connection.sql(sql)
            # None: a statement without an answer, such as SET.
            return pa.table({}) if relation is None else relation.to_arrow_table()
        except duckdb.Error as error:
            raise QueryFailed(str(error)) from error


def _folder(connection: duckdb.DuckDBPyConnection, root: Path) -> str:
    lake = root / layout.LAKE_IMAGES
    if next(lake.glob("dt=*/hour=*/*.parquet"), None) is None:
        return _nothing(connection)
    pattern = str(lake / "dt=*" / "hour=*" / "*.parquet").replace("'", "''")
    return (
        f"read_parquet('{pattern}', union_by_name = true, hive_partitioning = true, "
        "hive_types = {'dt': DATE, 'hour': INTEGER})"
    )


def _bucket(connection: duckdb.DuckDBPyConnection, settings: LakeSettings) -> str:
    # DuckDB's own S3 reader is an extension that it downloads; pyarrow's is in the wheel.
    url = urlsplit(settings.location)
    secret = settings.s3_secret_access_key
    store = pyarrow.fs.S3FileSystem(
        access_key=settings.s3_access_key_id,
        secret_key=secret.get_secret_value() if secret else None,
        region=settings.s3_region,
        endpoint_override=settings.s3_endpoint,
    )
    base = "/".join(part for part in (url.netloc, url.path.strip("/"), layout.LAKE_IMAGES) if part)
    try:
        if store.get_file_info(base).type == pyarrow.fs.FileType.NotFound:
            return _nothing(connection)
        dataset = ds.dataset(
            base,
            schema=pa.schema([*IMAGES, *_PARTITIONS]),
            filesystem=store,
            format="parquet",
            partitioning=ds.partitioning(_PARTITIONS, flavor="hive"),
        )
    except OSError as error:
        raise LakeError(f"the store can't be read: {error}") from error
    connection.register("images_files", dataset)
    return "images_files"


def _nothing(connection: duckdb.DuckDBPyConnection) -> str:
    """No file yet: a view with the right columns and no rows."""
    connection.register("images_files", pa.schema([*IMAGES, *_PARTITIONS]).empty_table())
    return "images_files"
