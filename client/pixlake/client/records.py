"""Typed answers of the API. Fields that only a newer server knows are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pixlake.client.image_columns import ImageColumns
from pixlake.client.parts import Rendition


class Image(ImageColumns):
    """Record of an image; `docs/columns.md` gives units and formulas."""

    expires_at: datetime
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
    """Version of a preset; docs/presets.md describes `renditions`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    version: int


class ImagePage(BaseModel):
    """Page of a listing, newest image first; `next` is the cursor of the next page."""

    model_config = ConfigDict(frozen=True)

    images: Sequence[Image]
    next: str | None = None


class Part(BaseModel):
    """Readiness of a part of the service; `detail` says what is wrong."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    detail: str | None = None


class Readiness(BaseModel):
    """Answer of `/readyz`: `ready` if all parts are ready, and the parts by name."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    parts: dict[str, Part] = Field(default_factory=dict)
