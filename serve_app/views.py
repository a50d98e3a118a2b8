"""Response models of images: a record without storage keys and attempts, and with links."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from lake.schema import FoundCode, ImageRecord, Swatch

# JavaScript numbers cannot hold 64 bits, so the perceptual hash is sent as hex.
_PHASH_MASK = (1 << 64) - 1


class RenditionView(BaseModel):
    """One rendition; width and height in pixels, `bytes` its size."""

    model_config = ConfigDict(frozen=True)

    name: str
    url: str
    format: str
    content_type: str
    width: int
    height: int
    bytes: int
    sha256: str


class Links(BaseModel):
    """URL paths of the record, the original and the renditions on this server."""

    model_config = ConfigDict(frozen=True)

    self: str
    original: str
    renditions: dict[str, str]


class ImageView(BaseModel):
    """One stored image; `docs/columns.md` explains the fields that are also columns."""

    model_config = ConfigDict(frozen=True)

    image_id: str
    tenant: str
    door: str
    received_at: datetime
    expires_at: datetime = Field(description="hidden from then on, deleted within a day")
    event_time: datetime | None
    topic: str | None
    partition: int | None
    offset: int | None
    filename: str | None
    metadata: dict[str, str]
    preset: str
    preset_version: int
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
    phash: str = Field(description="64 bits as 16 hex digits; the table has them as bigint")
    process_ms: float
    # The fields below are null for images of earlier versions, and if the file has no such value.
    megapixels: float | None
    aspect: float | None
    bit_depth: int | None
    color_space: str | None
    icc_name: str | None
    duration_ms: int | None
    damaged: bool | None
    gain_map: str | None
    noise: float | None
    contrast: float | None
    colorfulness: float | None
    entropy: float | None
    clipped_shadows: float | None
    clipped_highlights: float | None
    dominant_colors: list[Swatch] | None
    thumbhash: str | None = Field(description="a placeholder in 25 bytes or fewer, Base64")
    camera_make: str | None
    camera_model: str | None
    lens: str | None
    exposure_seconds: float | None
    f_number: float | None
    iso: int | None
    focal_length_mm: float | None
    taken_at: datetime | None = Field(description="as the camera's clock showed it")
    taken_offset_minutes: int | None = Field(description="offset of the camera's clock from UTC")
    taken_text: str | None = Field(description="EXIF text in place of a time that does not parse")
    gps_latitude: float | None
    gps_longitude: float | None
    gps_altitude: float | None
    codes: list[FoundCode] | None = Field(description="QR and bar codes; null: not requested")
    faces: int | None = Field(description="number of faces; null: not requested")
    decode_ms: float | None
    measure_ms: float | None
    render_ms: float | None
    encode_ms: float | None
    renditions: list[RenditionView]
    links: Links

    @classmethod
    def of(cls, record: ImageRecord, expires_at: datetime) -> Self:
        """Build the view of a record that expires at `expires_at`."""
        here = path(record.image_id)
        kept = record.model_dump(include=set(cls.model_fields), exclude={"renditions", "phash"})
        return cls(
            **kept,
            expires_at=expires_at,
            phash=f"{record.phash & _PHASH_MASK:016x}",
            renditions=[
                RenditionView(url=f"{here}/{made.name}", **made.model_dump(exclude={"key"}))
                for made in record.renditions
            ],
            links=Links(
                self=here,
                original=f"{here}/original",
                renditions={made.name: f"{here}/{made.name}" for made in record.renditions},
            ),
        )


class PageView(BaseModel):
    """One page of images, newest first."""

    model_config = ConfigDict(frozen=True)

    images: list[ImageView]
    next: str | None = Field(description="the cursor of the next page; null on the last page")


def path(image_id: str) -> str:
    """Return the URL path of an image's record."""
    return f"/v1/images/{image_id}"
