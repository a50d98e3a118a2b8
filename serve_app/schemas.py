"""Response models of images: a record without storage keys and attempts, and with links."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from lake.tables.image_columns import ImageColumns, RenditionColumns
from lake.tables.schema import ImageRecord

# JavaScript numbers cannot hold 64 bits, so the perceptual hash is sent as hex.
_PHASH_MASK = (1 << 64) - 1


class RenditionView(RenditionColumns):
    """Rendition of an image, with its URL path on this server."""

    url: str


class Links(BaseModel):
    """URL paths of the record, the original and the renditions on this server."""

    model_config = ConfigDict(frozen=True)

    self: str
    original: str
    renditions: dict[str, str]


class ImageView(ImageColumns):
    """Record of an image; `docs/columns.md` explains the fields that are also columns."""

    # Every answer has every field.
    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    expires_at: datetime = Field(description="hidden from then on, deleted within a day")
    phash: Annotated[
        int,
        PlainSerializer(lambda phash: f"{phash & _PHASH_MASK:016x}", return_type=str),
        Field(description="64 bits as 16 hex digits; the table has them as bigint"),
    ]
    renditions: list[RenditionView]
    links: Links

    @classmethod
    def of(cls, record: ImageRecord, expires_at: datetime) -> Self:
        """Build the view of a record that expires at `expires_at`."""
        here = path(record.image_id)
        kept = record.model_dump(include=set(ImageColumns.model_fields))
        return cls(
            **kept,
            expires_at=expires_at,
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
    """Page of a listing of images, newest first."""

    model_config = ConfigDict(frozen=True)

    images: list[ImageView]
    next: str | None = Field(description="the cursor of the next page; null on the last page")


class ReducedImageView(ImageView):
    """Record of an image with the fields that a listing was asked for."""

    model_config = ConfigDict(
        json_schema_serialization_defaults_required=False,
        json_schema_extra=lambda schema: schema.pop("required", None),
    )


class ReducedPageView(BaseModel):
    """Page of a listing with chosen fields."""

    model_config = ConfigDict(frozen=True)

    images: list[ReducedImageView]
    next: str | None = Field(description="the cursor of the next page; null on the last page")


def path(image_id: str) -> str:
    """Return the URL path of an image's record."""
    return f"/v1/images/{image_id}"
