"""Image id as a parameter of routes."""

from typing import Annotated

from fastapi import Path

from lake.errors import ImageNotFound
from lake.layout import IMAGE_ID
from serve_app.schemas import EXAMPLE_ID

# The pattern only describes the id: an id that does not match is answered 404, as an unknown one.
ImageId = Annotated[
    str,
    Path(
        description="32 hex digits, as an upload answers",
        json_schema_extra={"pattern": f"^{IMAGE_ID.pattern}$"},
        examples=[EXAMPLE_ID],
    ),
]


def check_image_id(image_id: str) -> None:
    """Raise ImageNotFound for a text that is no image id."""
    if IMAGE_ID.fullmatch(image_id) is None:
        raise ImageNotFound("there is no such image", value=image_id[:64])
