"""Redact: make parts of an image unrecognisable."""

from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from processors.image import Image
from processors.operations.cover import Cover, covered
from processors.operations.operation import MAX_SIDE, MEGAPIXEL, Operation
from processors.operations.paint import Color

MAX_BOXES = 64


class Box(NamedTuple):
    """A part of an image, in pixels; what sticks out of the image is cut off."""

    x: Annotated[int, Field(ge=0, le=MAX_SIDE)]
    y: Annotated[int, Field(ge=0, le=MAX_SIDE)]
    width: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)]


class Redact(Operation):
    """Cover boxes with a colour, or leave 8 cells a side of what was in them.

    `fill` alone leaves nothing. From cells or a blur of a licence plate or a PIN, whose letters are
    known, others can try out which ones give that picture.
    """

    keeps_depth: ClassVar[bool] = True

    op: Literal["redact"] = "redact"
    boxes: tuple[Box, ...] = Field(
        min_length=1, max_length=MAX_BOXES, description="each as [x, y, width, height], in pixels"
    )
    mode: Cover = Field(
        default="fill", description="what is done; `fill` alone leaves nothing to guess from"
    )
    color: Color = Field(default="#000000", description="of `fill`")

    def price(self, width: int, height: int) -> float:
        """Price of an image of that size: a copy of it, and its boxes."""
        boxes = sum(min(box.width, width) * min(box.height, height) for box in self.boxes)
        return self.milliseconds * (width * height + boxes) / MEGAPIXEL

    def __call__(self, image: Image) -> Image:
        """With the boxes covered; under `fill` they are opaque."""
        return covered(image, self.boxes, self.mode, self.color)
