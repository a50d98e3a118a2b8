"""Redaction: makes boxes of an image unrecognisable."""

from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from processors.image import Image
from processors.operations.cover import Cover, covered
from processors.operations.operation import MAX_SIDE, MEGAPIXEL, Operation
from processors.operations.paint import Color

MAX_BOXES = 64


class Box(NamedTuple):
    """Box in pixels, clipped to the image."""

    x: Annotated[int, Field(ge=0, le=MAX_SIDE)]
    y: Annotated[int, Field(ge=0, le=MAX_SIDE)]
    width: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)]


class Redact(Operation):
    """Cover boxes with a colour, or reduce their content to 8 cells along the longer side.

    Only `fill` removes all information. A licence plate or a PIN has a known set of letters, so
    others can try out which letters give the same cells or the same blur.
    """

    keeps_depth: ClassVar[bool] = True

    op: Literal["redact"] = "redact"
    boxes: tuple[Box, ...] = Field(
        min_length=1, max_length=MAX_BOXES, description="boxes as [x, y, width, height], in pixels"
    )
    mode: Cover = Field(
        default="fill", description="how boxes are covered; only `fill` removes all information"
    )
    color: Color = Field(default="#000000", description="colour of the boxes with `fill`")

    def price(self, width: int, height: int) -> float:
        """Price of an image of that size: of its copy and of the boxes."""
        boxes = sum(min(box.width, width) * min(box.height, height) for box in self.boxes)
        return self.milliseconds * (width * height + boxes) / MEGAPIXEL

    def __call__(self, image: Image) -> Image:
        """Return the image with covered boxes; with `fill` the boxes are opaque."""
        return covered(image, self.boxes, self.mode, self.color)
