"""Tables of the lake: `images`, and `rejections` for refused Kafka messages."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from lake import layout
from lake.layout import Folders
from lake.schema import IMAGES, MS, SCHEMA_VERSION, ImageRecord

REJECTIONS_VERSION = 2


class Rejected(BaseModel):
    """Refused message: a JSON object in the store, one row in the lake."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = REJECTIONS_VERSION
    rejection_id: str
    tenant: str
    home: datetime
    rejected_at: datetime
    topic: str
    topic_id: str
    partition: int
    offset: int
    message_time: datetime | None = None
    bytes: int
    code: str
    detail: str
    limit: float | None = None
    value: str | None = None
    # Fields of version 2; None in older records.
    sha256: str | None = None

    @property
    def row_name(self) -> tuple[str, ...]:
        """Name of the row within its home; one for each rejection."""
        return (self.rejection_id,)


REJECTIONS = pa.schema(
    [
        pa.field("schema_version", pa.int32(), nullable=False),
        pa.field("rejection_id", pa.string(), nullable=False),
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("home", MS, nullable=False),
        pa.field("rejected_at", MS, nullable=False),
        pa.field("topic", pa.string(), nullable=False),
        pa.field("topic_id", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("message_time", MS),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("code", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("limit", pa.float64()),
        pa.field("value", pa.string()),
        # Version 2.
        pa.field("sha256", pa.string()),
    ]
)
"""Columns of the table `rejections`, in file order."""


Journaled = ImageRecord | Rejected
"""Records with a row: `home` is the window of the row, `row_name` its name there."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Description of a table for sealing, compaction and SQL."""

    name: str
    version: int
    columns: pa.Schema
    id: str
    """its column of 32 hex digits, unique in the table"""
    time: str
    """its column to sort by"""
    folders: Folders
    repeating: tuple[str, ...] = field(repr=False)
    """columns with repeating values; in others a Parquet dictionary would be useless"""

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
    repeating=(
        "schema_version",
        "tenant",
        "door",
        "home",
        "topic",
        "partition",
        "metadata.key_value.key",
        "metadata.key_value.value",
        "preset",
        "preset_version",
        "format",
        "content_type",
        "width",
        "height",
        "orientation",
        "frames",
        "dominant_color",
        "renditions.list.element.name",
        "renditions.list.element.format",
        "renditions.list.element.content_type",
        "renditions.list.element.width",
        "renditions.list.element.height",
        "bit_depth",
        "color_space",
        "icc_name",
        "damaged",
        "camera_make",
        "camera_model",
        "lens",
        "exposure_seconds",
        "f_number",
        "iso",
        "focal_length_mm",
        "taken_offset_minutes",
        "codes.list.element.kind",
        "gain_map",
        "taken_text",
    ),
)
REJECTION_TABLE = Table(
    name="rejections",
    version=REJECTIONS_VERSION,
    columns=REJECTIONS,
    id="rejection_id",
    time="rejected_at",
    folders=layout.REJECTION_ROWS,
    repeating=(
        "schema_version",
        "tenant",
        "home",
        "topic",
        "topic_id",
        "partition",
        "code",
        "detail",
        "limit",
        "value",
    ),
)
TABLES = (IMAGE_TABLE, REJECTION_TABLE)
