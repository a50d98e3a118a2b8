"""Tables of the lake: `images`, `rejections` for refused Kafka messages, and `usage` by day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from lake import layout
from lake.errors import Fault
from lake.layout import Folders
from lake.tables.columns import (
    BigInt,
    Column,
    Int,
    SchemaVersion,
    TableColumn,
    WindowStart,
    model_columns,
    schema_of,
)
from lake.tables.schema import IMAGES, SCHEMA_VERSION, ImageRecord

REJECTIONS_VERSION = 3
USAGE_VERSION = 1


class Rejected(BaseModel):
    """Refused message: a JSON object in the store, one row in the lake."""

    model_config = ConfigDict(frozen=True)

    schema_version: SchemaVersion = REJECTIONS_VERSION
    rejection_id: Annotated[
        str,
        Column(
            "service",
            "32 hex digits, from topic id, partition, offset and the message's content; the key of "
            "the table",
        ),
    ]
    tenant: Annotated[str, Column("service", "tenant of the topic", repeats=True)]
    window_start: WindowStart
    rejected_at: Annotated[
        datetime,
        Column(
            "service", "when it was refused for the first time, by the store's clock", unit="UTC"
        ),
    ]
    topic: Annotated[str, Column("kafka", "Kafka topic", repeats=True)]
    topic_id: Annotated[
        str,
        Column(
            "kafka",
            "the topic's UUID; a topic that is deleted and made again has another one",
            repeats=True,
        ),
    ]
    partition: Annotated[Int, Column("kafka", "Kafka partition", repeats=True)]
    offset: Annotated[BigInt, Column("kafka", "Kafka offset")]
    message_time: Annotated[
        datetime | None,
        Column("kafka", "the message's own time, null if it has no valid one", unit="UTC"),
    ] = None
    bytes: Annotated[BigInt, Column("client", "size of the message's value", unit="bytes")]
    code: Annotated[
        str,
        Column(
            "service",
            "the reason, as in [errors.md](errors.md); that of the first refusal counts",
            repeats=True,
        ),
    ]
    detail: Annotated[
        str, Column("service", "the same in words, at most 1,000 characters", repeats=True)
    ]
    limit: Annotated[
        float | None, Column("service", "the limit that was exceeded, else null", repeats=True)
    ] = None
    value: Annotated[
        str | None,
        Column("service", "the value that was measured or found, else null", repeats=True),
    ] = None
    sha256: Annotated[
        str | None,
        Column("client", "SHA-256 of the message's value; null in rows of version 1"),
    ] = None

    @property
    def row_name(self) -> tuple[str, ...]:
        """Name of the row within its window; one for each rejection."""
        return (self.rejection_id,)

    @property
    def fault(self) -> Fault:
        """Reason of the refusal."""
        return Fault(self.code, self.detail, self.limit, self.value)


class RefusedRequests(BaseModel):
    """Number of refused requests with one error code."""

    model_config = ConfigDict(frozen=True)

    code: Annotated[
        str, Column("service", "the reason, as in [errors.md](errors.md)", repeats=True)
    ]
    requests: Annotated[BigInt, Column("service", "refused requests with this code")]


class Used(BaseModel):
    """Usage of one API key on one day: one row in the lake."""

    model_config = ConfigDict(frozen=True)

    schema_version: SchemaVersion = USAGE_VERSION
    window_start: Annotated[
        datetime,
        Column("service", "start of the day; the row expires as images of then do", unit="UTC"),
    ]
    day: Annotated[date, Column("service", "day of UTC", repeats=True)]
    tenant: Annotated[str, Column("service", "tenant of the key", repeats=True)]
    key: Annotated[
        str,
        Column(
            "service",
            "prefix of the API key; tenant, key and day are the key of the table",
            repeats=True,
        ),
    ]
    images: Annotated[BigInt, Column("service", "new images by HTTP")]
    bytes_in: Annotated[BigInt, Column("service", "bytes of those images", unit="bytes")]
    bytes_out: Annotated[
        BigInt, Column("service", "bytes of the bodies of all answers, as sent", unit="bytes")
    ]
    refusals: Annotated[
        tuple[RefusedRequests, ...], Column("service", "refused requests, by code")
    ] = ()


class Partitions(BaseModel):
    """Columns that the names of the folders hold; `pixlake query` has them with these types."""

    dt: Annotated[
        date,
        Column(
            "service", "day of `window_start`; partition column, a string in Athena", nullable=True
        ),
    ]
    hour: Annotated[
        Int,
        Column(
            "service",
            "hour of `window_start`; partition column, a string of two digits in Athena",
            nullable=True,
        ),
    ]


PARTITIONS = schema_of(Partitions)
REJECTIONS = schema_of(Rejected)
"""Columns of the table `rejections`, in file order."""
USAGE = schema_of(Used)
"""Columns of the table `usage`, in file order."""


Journaled = ImageRecord | Rejected
"""Records with a row; `row_name` is the name of the row in the window of `window_start`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SqlTable:
    """Description of a table for SQL."""

    name: str
    version: int
    columns: pa.Schema
    folders: Folders
    model: type[BaseModel]
    """definition of the columns"""

    @property
    def described(self) -> tuple[TableColumn, ...]:
        """Columns of the table with their descriptions, then the partition columns."""
        return model_columns(self.model) + model_columns(Partitions)

    @property
    def repeating(self) -> list[str]:
        """Paths of the table's Parquet files whose values repeat, and have a dictionary."""
        return [path for each in model_columns(self.model) for path in each.repeating]


@dataclass(frozen=True, eq=False, kw_only=True)
class Table(SqlTable):
    """Description of a table whose rows are journaled, sealed and compacted."""

    id: str
    """column of 32 hex digits, unique in the table"""
    time: str
    """column to sort by"""

    def rows(self, records: Iterable[Journaled]) -> pa.Table:
        """Convert records to rows."""
        rows = [record.model_dump(exclude={"kind"}) for record in records]
        for row in rows:
            if "metadata" in row:
                row["metadata"] = list(row["metadata"].items())
        # Converting rows as structs takes half the time of converting columns, for a few rows.
        array = pa.array(rows, type=pa.struct(list(self.columns)))
        batch = pa.RecordBatch.from_struct_array(array)
        return pa.Table.from_batches([batch]).replace_schema_metadata(self.columns.metadata)


IMAGE_TABLE = Table(
    name="images",
    version=SCHEMA_VERSION,
    columns=IMAGES,
    id="image_id",
    time="received_at",
    folders=layout.IMAGE_ROWS,
    model=ImageRecord,
)
REJECTION_TABLE = Table(
    name="rejections",
    version=REJECTIONS_VERSION,
    columns=REJECTIONS,
    id="rejection_id",
    time="rejected_at",
    folders=layout.REJECTION_ROWS,
    model=Rejected,
)
TABLES = (IMAGE_TABLE, REJECTION_TABLE)
"""Tables whose rows are sealed."""
USAGE_TABLE = SqlTable(
    name="usage",
    version=USAGE_VERSION,
    columns=USAGE,
    folders=layout.USAGE_ROWS,
    model=Used,
)
SQL_TABLES: tuple[SqlTable, ...] = (*TABLES, USAGE_TABLE)
"""All tables that SQL reads."""
