"""The record and the row: `ImageRecord` (JSON in the store) and `IMAGES` (Arrow) side by side.

A new column goes into both, with a default, and raises `SCHEMA_VERSION`; old files stay readable.
"""

from datetime import datetime
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

SCHEMA_VERSION = 1


class StoredRendition(BaseModel):
    """One rendition in the store; width and height in pixels, `bytes` its size."""

    model_config = ConfigDict(frozen=True)

    name: str
    key: str
    format: str
    content_type: str
    width: int
    height: int
    bytes: int
    sha256: str


class ImageRecord(BaseModel):
    """Everything known about one image; `record.json` in the store, one row in the lake."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["image"] = "image"
    schema_version: int = SCHEMA_VERSION
    image_id: str
    tenant: str
    door: Literal["api", "kafka"]
    attempt: str = Field(description="the try that won; object names end in it")
    home: datetime = Field(description="start of the window that the row belongs to, UTC")
    content_hash: str = Field(description="SHA-256 over bytes, preset and metadata")
    received_at: datetime
    event_time: datetime | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    filename: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    preset: str
    preset_version: int
    original_key: str
    sha256: str
    bytes: int
    format: str
    content_type: str
    width: int
    height: int
    orientation: int
    frames: int
    has_alpha: bool
    sharpness: float
    brightness: float
    dominant_color: str
    phash: int
    renditions: tuple[StoredRendition, ...] = ()
    process_ms: float

    @property
    def row_name(self) -> tuple[str, ...]:
        """What its row is called within its home: another attempt's is another row."""
        return self.image_id, self.attempt


class Tombstone(BaseModel):
    """What stays under an erased image's name; holds no personal data."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["tombstone"] = "tombstone"
    schema_version: int = SCHEMA_VERSION
    image_id: str
    tenant: str
    attempt: str = Field(description="attempt of the record that was erased")
    home: datetime
    erased_at: datetime


MS = pa.timestamp("ms", tz="UTC")
RENDITION = pa.struct(
    [
        pa.field("name", pa.string()),
        pa.field("key", pa.string()),
        pa.field("format", pa.string()),
        pa.field("content_type", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("bytes", pa.int64()),
        pa.field("sha256", pa.string()),
    ]
)

IMAGES = pa.schema(
    [
        pa.field("schema_version", pa.int32(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("door", pa.string(), nullable=False),
        pa.field("attempt", pa.string(), nullable=False),
        pa.field("home", MS, nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("received_at", MS, nullable=False),
        pa.field("event_time", MS),
        pa.field("topic", pa.string()),
        pa.field("partition", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("filename", pa.string()),
        pa.field("metadata", pa.map_(pa.string(), pa.string())),
        pa.field("preset", pa.string(), nullable=False),
        pa.field("preset_version", pa.int32(), nullable=False),
        pa.field("original_key", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("content_type", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("orientation", pa.int32(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),
        pa.field("has_alpha", pa.bool_(), nullable=False),
        pa.field("sharpness", pa.float64(), nullable=False),
        pa.field("brightness", pa.float64(), nullable=False),
        pa.field("dominant_color", pa.string(), nullable=False),
        pa.field("phash", pa.int64(), nullable=False),
        pa.field("renditions", pa.list_(RENDITION), nullable=False),
        pa.field("process_ms", pa.float64(), nullable=False),
    ]
)
"""Columns of the table `images`, in file order."""

TOMBSTONES = pa.schema(
    [
        pa.field("schema_version", pa.int32(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("attempt", pa.string(), nullable=False),
        pa.field("home", MS, nullable=False),
        pa.field("erased_at", MS, nullable=False),
    ]
)
"""Columns of an erasure in the journal."""

RECORD: TypeAdapter[ImageRecord | Tombstone] = TypeAdapter(
    Annotated[ImageRecord | Tombstone, Field(discriminator="kind")]
)
"""What `record.json` holds: the record, or the tombstone that took its place."""
