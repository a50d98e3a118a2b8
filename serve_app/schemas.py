"""Response models of images: a record without storage keys and attempts, and with links."""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainSerializer

from lake.tables.image_columns import ImageColumns, RenditionColumns
from lake.tables.schema import ImageRecord
from serve_app.openapi_examples import exampled

# JavaScript numbers cannot hold 64 bits, so the perceptual hash is sent as hex.
_PHASH_MASK = (1 << 64) - 1

EXAMPLE_ID: Final = "3f0c9d1e2b4a5968778695a4b3c2d1e0"
"""Image id in the examples of the OpenAPI description."""


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
    model_config = ConfigDict(
        json_schema_serialization_defaults_required=True,
        json_schema_extra=lambda schema: schema.update(exampled(example())),
    )

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

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra=lambda schema: schema.update(
            exampled({"images": [example()], "next": None})
        ),
    )

    images: list[ImageView]
    next: str | None = Field(description="the cursor of the next page; null on the last page")


class ReducedImageView(ImageView):
    """Record of an image with the fields that a listing was asked for."""

    model_config = ConfigDict(
        json_schema_serialization_defaults_required=False,
        json_schema_extra=lambda schema: schema.pop("required"),
    )


class ReducedPageView(BaseModel):
    """Page of a listing with chosen fields."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra=exampled({"images": [{"image_id": EXAMPLE_ID}], "next": None}),
    )

    images: list[ReducedImageView]
    next: str | None = Field(description="the cursor of the next page; null on the last page")


class BatchLine(BaseModel):
    """Line of the answer to a batch."""

    model_config = ConfigDict(
        json_schema_extra=exampled(
            {
                "name": "photos/rocket.jpg",
                "id": EXAMPLE_ID,
                "status": 201,
                "outcome": "new",
                "code": None,
            }
        )
    )

    name: str | None = Field(
        description="name of the file as sent, without leading `./`; null: the batch itself"
    )
    id: str | None = Field(description="id of the image; null if it was refused")
    status: int = Field(description="status that the same upload alone would have got")
    outcome: Literal["new", "replay", "refused"] = Field(
        description="`replay`: the image was stored before"
    )
    code: str | None = Field(description="code of the refusal, as of problems")
    detail: str | None = Field(default=None, description="only of refusals")
    limit: float | None = Field(default=None, description="the limit that was exceeded, if any")
    value: float | str | None = Field(default=None, description="what was measured or sent")


class ErasureLine(BaseModel):
    """Line of the answer to an erasure of many images."""

    model_config = ConfigDict(
        json_schema_extra=exampled(
            {
                "name": EXAMPLE_ID,
                "id": EXAMPLE_ID,
                "status": 204,
                "outcome": "erased",
                "code": None,
            }
        )
    )

    name: str = Field(description="the id as sent")
    id: str = Field(description="the same")
    status: int = Field(description="status that the same erasure alone would have got")
    outcome: Literal["erased", "unknown", "refused"] = Field(
        description="`unknown`: no such image of the tenant; `refused`: try again"
    )
    code: str | None = Field(description="code of the refusal, as of problems")
    detail: str | None = Field(default=None, description="only of refusals")
    limit: float | None = Field(default=None, description="the limit that was exceeded, if any")
    value: float | str | None = Field(default=None, description="what was measured or sent")


def path(image_id: str) -> str:
    """Return the URL path of an image's record."""
    return f"/v1/images/{image_id}"


def example() -> dict[str, JsonValue]:
    """Build the example of an image for the OpenAPI description.

    Columns that are not named here have their defaults, so a new column needs no change.
    """
    here = path(EXAMPLE_ID)
    made: dict[str, JsonValue] = ImageView(
        image_id=EXAMPLE_ID,
        tenant="cams",
        source="api",
        received_at=datetime(2026, 11, 23, 10, tzinfo=UTC),
        expires_at=datetime(2026, 11, 30, 10, tzinfo=UTC),
        filename="rocket.jpg",
        metadata={"camera": "7"},
        preset="thumbnail",
        preset_version=1,
        sha256="c2d6" * 16,
        bytes=112_525,
        format="jpeg",
        content_type="image/jpeg",
        width=640,
        height=427,
        orientation=1,
        frames=1,
        has_alpha=False,
        process_ms=11.5,
        sharpness=412.7,
        brightness=76.3,
        dominant_color="#151a26",
        phash=-0x2B3C4D5E6F708192,
        renditions=[
            RenditionView(
                name="320",
                format="jpeg",
                content_type="image/jpeg",
                width=320,
                height=214,
                bytes=13_004,
                sha256="0a1b" * 16,
                url=f"{here}/320",
            )
        ],
        links=Links(self=here, original=f"{here}/original", renditions={"320": f"{here}/320"}),
    ).model_dump(mode="json")
    return made
