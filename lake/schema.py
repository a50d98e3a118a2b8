"""Schemas of record and row: `ImageRecord` (JSON in the store) and `IMAGES` (Arrow).

A new column goes into both, with a default, and raises `SCHEMA_VERSION`; old files stay readable.
"""

import hashlib
import hmac
from datetime import datetime
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

SCHEMA_VERSION = 4


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


class Swatch(BaseModel):
    """A colour of an image, `#rrggbb` in sRGB, and the fraction of its pixels."""

    model_config = ConfigDict(frozen=True)

    color: str
    share: float


class FoundCode(BaseModel):
    """A QR or bar code; docs/columns.md lists the kinds. `text` is untrusted."""

    model_config = ConfigDict(frozen=True)

    kind: str
    text: str


class ImageRecord(BaseModel):
    """Everything known about one image; `record.json` in the store, one row in the lake."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["image"] = "image"
    schema_version: int = SCHEMA_VERSION
    image_id: str
    tenant: str
    door: Literal["api", "kafka"]
    attempt: str = Field(description="attempt that was committed; object names end in its id")
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
    # Fields of version 2; None in older records.
    megapixels: float | None = None
    aspect: float | None = None
    bit_depth: int | None = None
    color_space: str | None = None
    icc_name: str | None = None
    duration_ms: int | None = None
    damaged: bool | None = None
    phash_0: int | None = None
    phash_1: int | None = None
    phash_2: int | None = None
    phash_3: int | None = None
    noise: float | None = None
    contrast: float | None = None
    colorfulness: float | None = None
    entropy: float | None = None
    clipped_shadows: float | None = None
    clipped_highlights: float | None = None
    dominant_colors: tuple[Swatch, ...] | None = None
    thumbhash: str | None = None
    camera_make: str | None = None
    camera_model: str | None = None
    lens: str | None = None
    exposure_seconds: float | None = None
    f_number: float | None = None
    iso: int | None = None
    focal_length_mm: float | None = None
    taken_at: datetime | None = Field(default=None, description="as the camera's clock showed it")
    taken_offset_minutes: int | None = Field(default=None, description="of that clock from UTC")
    gps_latitude: float | None = None
    gps_longitude: float | None = None
    gps_altitude: float | None = None
    codes: tuple[FoundCode, ...] | None = Field(default=None, description="None: not looked for")
    faces: int | None = Field(default=None, description="None: not looked for")
    decode_ms: float | None = None
    measure_ms: float | None = None
    render_ms: float | None = None
    encode_ms: float | None = None
    # Fields of version 3.
    gain_map: str | None = Field(default=None, description="None: no HDR gain map")
    # Fields of version 4.
    taken_text: str | None = Field(
        default=None, description="the text in place of a time, if it is not a possible time"
    )

    @property
    def row_name(self) -> tuple[str, ...]:
        """Name of the row within its home; each attempt has a row of its own."""
        return self.image_id, self.attempt


class Tombstone(BaseModel):
    """Record that replaces an erased image's record; contains no personal data.

    `content` identifies the erased bytes when they are sent again. It is a digest with the attempt
    as key, so that each erasure has another digest and a list of known checksums does not match.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["tombstone"] = "tombstone"
    schema_version: int = SCHEMA_VERSION
    image_id: str
    tenant: str
    attempt: str = Field(description="attempt of the record that was erased")
    home: datetime
    erased_at: datetime
    content: str | None = Field(
        default=None, description="keyed digest of the erased bytes; None: not recorded"
    )

    def knowing(self, sha256: str) -> "Tombstone":
        """Copy with the digest of the erased bytes."""
        return self.model_copy(update={"content": self._digest(sha256)})

    def is_of(self, sha256: str | None) -> bool:
        """True if these bytes were erased; also true if the digest was not recorded."""
        if self.content is None:
            return True
        return sha256 is not None and hmac.compare_digest(self.content, self._digest(sha256))

    def _digest(self, sha256: str) -> str:
        return hmac.new(self.attempt.encode(), sha256.encode(), hashlib.sha256).hexdigest()[:32]


class Reason(BaseModel):
    """Reason of a refusal; `limit` and `value` if it exceeded a limit."""

    model_config = ConfigDict(frozen=True)

    code: str
    detail: str
    limit: float | None = None
    value: str | None = None


MAX_REFUSED = 64
"""Limit of refused messages of one event, so that endless retries do not grow its record."""


class RefusedName(BaseModel):
    """Record under the image id of a refused message, in place of an image's record.

    Once it names `MAX_REFUSED` messages it is full: all other messages of that id are refused.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["refused"] = "refused"
    schema_version: int = SCHEMA_VERSION
    image_id: str
    tenant: str
    attempt: str = ""
    home: datetime
    refused: dict[str, Reason] = Field(description="by `rejection_id` of the message")

    @property
    def full(self) -> bool:
        """True if the record accepts no more messages of this id, refused or not."""
        return len(self.refused) >= MAX_REFUSED


MS = pa.timestamp("ms", tz="UTC")
LOCAL_MS = pa.timestamp("ms")
"""Local time without a zone."""
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

SWATCH = pa.struct([pa.field("color", pa.string()), pa.field("share", pa.float64())])
CODE = pa.struct([pa.field("kind", pa.string()), pa.field("text", pa.string())])

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
        # Version 2.
        pa.field("megapixels", pa.float64()),
        pa.field("aspect", pa.float64()),
        pa.field("bit_depth", pa.int32()),
        pa.field("color_space", pa.string()),
        pa.field("icc_name", pa.string()),
        pa.field("duration_ms", pa.int64()),
        pa.field("damaged", pa.bool_()),
        pa.field("phash_0", pa.int32()),
        pa.field("phash_1", pa.int32()),
        pa.field("phash_2", pa.int32()),
        pa.field("phash_3", pa.int32()),
        pa.field("noise", pa.float64()),
        pa.field("contrast", pa.float64()),
        pa.field("colorfulness", pa.float64()),
        pa.field("entropy", pa.float64()),
        pa.field("clipped_shadows", pa.float64()),
        pa.field("clipped_highlights", pa.float64()),
        pa.field("dominant_colors", pa.list_(SWATCH)),
        pa.field("thumbhash", pa.string()),
        pa.field("camera_make", pa.string()),
        pa.field("camera_model", pa.string()),
        pa.field("lens", pa.string()),
        pa.field("exposure_seconds", pa.float64()),
        pa.field("f_number", pa.float64()),
        pa.field("iso", pa.int32()),
        pa.field("focal_length_mm", pa.float64()),
        pa.field("taken_at", LOCAL_MS),
        pa.field("taken_offset_minutes", pa.int32()),
        pa.field("gps_latitude", pa.float64()),
        pa.field("gps_longitude", pa.float64()),
        pa.field("gps_altitude", pa.float64()),
        pa.field("codes", pa.list_(CODE)),
        pa.field("faces", pa.int32()),
        pa.field("decode_ms", pa.float64()),
        pa.field("measure_ms", pa.float64()),
        pa.field("render_ms", pa.float64()),
        pa.field("encode_ms", pa.float64()),
        # Version 3.
        pa.field("gain_map", pa.string()),
        # Version 4.
        pa.field("taken_text", pa.string()),
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

Named = ImageRecord | Tombstone | RefusedName

RECORD: TypeAdapter[Named] = TypeAdapter(Annotated[Named, Field(discriminator="kind")])
"""Content of `record.json`: an image's record, a tombstone, or a refused message."""
