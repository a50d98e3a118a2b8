"""Crop: cut out a rectangle of at most this size."""

from typing import ClassVar, Literal

from pydantic import Field

from processors.image import Image
from processors.operations.operation import MAX_SIDE, Operation

Gravity = Literal["center", "top", "bottom", "left", "right"]


class Crop(Operation):
    """Keep `width` x `height` pixels, or all of a side that is shorter."""

    keeps_depth: ClassVar[bool] = True

    op: Literal["crop"] = "crop"
    width: int = Field(ge=1, le=MAX_SIDE, description="in pixels")
    height: int = Field(ge=1, le=MAX_SIDE, description="in pixels")
    gravity: Gravity = Field(default="center", description="which part is kept")

    def __call__(self, image: Image) -> Image:
        """At most this size, cut out of the image."""
        width, height = min(self.width, image.width), min(self.height, image.height)
        if (width, height) == (image.width, image.height):
            return image
        left = _start(image.width - width, self.gravity, first="left", last="right")
        top = _start(image.height - height, self.gravity, first="top", last="bottom")
        return image.with_pixels(image.pixels[top : top + height, left : left + width].copy())

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """As `__call__` leaves it."""
        return min(self.width, width), min(self.height, height)


def _start(spare: int, gravity: Gravity, *, first: Gravity, last: Gravity) -> int:
    if gravity == first:
        return 0
    return spare if gravity == last else spare // 2
