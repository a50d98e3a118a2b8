"""Typed answers of the API. Fields that only a newer server knows are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Rendition(BaseModel):
    """One size of an image; width and height in pixels, `bytes` its size."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    format: str
    content_type: str
    width: int
    height: int
    bytes: int
    sha256: str


class Swatch(BaseModel):
    """A colour of an image, `#rrggbb` in sRGB, and the fraction of its pixels."""

    model_config = ConfigDict(frozen=True, extra="allow")

    color: str
    share: float


class Code(BaseModel):
    """QR or bar code found in an image; its text is untrusted."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
    text: str


class Image(BaseModel):
    """Record of one image; `docs/columns.md` gives units and formulas."""

    model_config = ConfigDict(frozen=True, extra="allow")

    image_id: str
    tenant: str
    door: Literal["api", "kafka"]
    received_at: datetime
    expires_at: datetime
    event_time: datetime | None = None
    filename: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
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
    phash: str = Field(description="64 bits, as 16 hex digits")
    megapixels: float | None = None
    aspect: float | None = None
    bit_depth: int | None = None
    color_space: str | None = None
    icc_name: str | None = None
    duration_ms: int | None = None
    damaged: bool | None = None
    gain_map: str | None = None
    noise: float | None = None
    contrast: float | None = None
    colorfulness: float | None = None
    entropy: float | None = None
    clipped_shadows: float | None = None
    clipped_highlights: float | None = None
    dominant_colors: Sequence[Swatch] | None = None
    thumbhash: str | None = Field(default=None, description="Base64")
    camera_make: str | None = None
    camera_model: str | None = None
    lens: str | None = None
    exposure_seconds: float | None = None
    f_number: float | None = None
    iso: int | None = None
    focal_length_mm: float | None = None
    taken_at: datetime | None = Field(default=None, description="as the camera's clock showed it")
    taken_offset_minutes: int | None = Field(
        default=None, description="offset of the camera's clock from UTC"
    )
    taken_text: str | None = Field(
        default=None, description="EXIF text in place of a time that does not parse"
    )
    gps_latitude: float | None = None
    gps_longitude: float | None = None
    gps_altitude: float | None = None
    codes: Sequence[Code] | None = Field(default=None, description="None: not requested")
    faces: int | None = Field(default=None, description="None: not requested")
    renditions: Sequence[Rendition] = ()

    def stored(self, rendition: str) -> tuple[str, str]:
        """Return content type and SHA-256 of `original` or of a rendition; raises KeyError."""
        if rendition == "original":
            return self.content_type, self.sha256
        for one in self.renditions:
            if one.name == rendition:
                return one.content_type, one.sha256
        names = ", ".join(["original", *(one.name for one in self.renditions)])
        raise KeyError(f"no rendition {rendition!r}; there are: {names}")


class Uploaded(BaseModel):
    """Result of an upload: `created`, or `replayed` if the image was stored before."""

    model_config = ConfigDict(frozen=True)

    outcome: Literal["created", "replayed"]
    image: Image


class Preset(BaseModel):
    """A preset with its name and version; docs/presets.md describes `renditions`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    version: int


class ImagePage(BaseModel):
    """One page of a listing, newest first; `next` is the cursor of the page after it."""

    model_config = ConfigDict(frozen=True)

    images: Sequence[Image]
    next: str | None = None


class Part(BaseModel):
    """Readiness of one part of the service; `detail` says what is wrong."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    detail: str | None = None


class Readiness(BaseModel):
    """Answer of `/readyz`: `ready` if all parts are ready, and the parts by name."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    parts: dict[str, Part] = Field(default_factory=dict)
