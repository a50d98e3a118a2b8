"""What the API answers, typed. A newer server may say more: it is kept, and readable as is."""

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


class Image(BaseModel):
    """The record of one image; `docs/columns.md` gives units and formulas."""

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
    renditions: Sequence[Rendition] = ()

    def stored(self, rendition: str) -> tuple[str, str]:
        """Content type and SHA-256 of `original` or of a rendition; raises KeyError."""
        if rendition == "original":
            return self.content_type, self.sha256
        for one in self.renditions:
            if one.name == rendition:
                return one.content_type, one.sha256
        names = ", ".join(["original", *(one.name for one in self.renditions)])
        raise KeyError(f"no rendition {rendition!r}; there are: {names}")


class Uploaded(BaseModel):
    """How an upload ended: `created`, or `replayed` when the lake had the image already."""

    model_config = ConfigDict(frozen=True)

    outcome: Literal["created", "replayed"]
    image: Image


class ImagePage(BaseModel):
    """One page of a listing, newest first; `next` is the cursor of the page after it."""

    model_config = ConfigDict(frozen=True)

    images: Sequence[Image]
    next: str | None = None


class Part(BaseModel):
    """One thing that must work for images to come in; `detail` says what is wrong."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    detail: str | None = None


class Readiness(BaseModel):
    """What `/readyz` says: `ready` when both doors take images, and each part by its name."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    parts: dict[str, Part] = Field(default_factory=dict)
