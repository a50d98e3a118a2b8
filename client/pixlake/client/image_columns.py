"""Fields of an image that are columns; docs/columns.md gives units and formulas.

Rendered from the API by `python -m tests.reference`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pixlake.client.parts import Code, Swatch


class ImageColumns(BaseModel):
    """Columns of one image."""

    model_config = ConfigDict(frozen=True, extra="allow")

    image_id: str
    tenant: str
    source: Literal["api", "kafka"]
    received_at: datetime
    event_time: datetime | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    filename: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    preset: str
    preset_version: int
    preset_tenant: str | None = None
    sha256: str
    bytes: int
    format: str
    content_type: str
    width: int
    height: int
    orientation: int
    frames: int
    has_alpha: bool
    megapixels: float | None = None
    aspect: float | None = None
    bit_depth: int | None = None
    color_space: str | None = None
    icc_name: str | None = None
    duration_ms: int | None = None
    damaged: bool | None = None
    gain_map: str | None = None
    camera_make: str | None = None
    camera_model: str | None = None
    lens: str | None = None
    exposure_seconds: float | None = None
    f_number: float | None = None
    iso: int | None = None
    focal_length_mm: float | None = None
    taken_at: datetime | None = None
    taken_offset_minutes: int | None = None
    taken_text: str | None = None
    gps_latitude: float | None = None
    gps_longitude: float | None = None
    gps_altitude: float | None = None
    process_ms: float
    decode_ms: float | None = None
    measure_ms: float | None = None
    render_ms: float | None = None
    encode_ms: float | None = None
    sharpness: float
    brightness: float
    dominant_color: str
    phash: str
    noise: float | None = None
    contrast: float | None = None
    colorfulness: float | None = None
    entropy: float | None = None
    clipped_shadows: float | None = None
    clipped_highlights: float | None = None
    dominant_colors: Sequence[Swatch] | None = None
    thumbhash: str | None = None
    codes: Sequence[Code] | None = None
    faces: int | None = None
