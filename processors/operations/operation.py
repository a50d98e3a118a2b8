"""Base class of operations: validated parameters, and a function from image to image."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from processors.image import Image

MAX_SIDE = 16_384
"""Largest width or height that an operation may ask for, in pixels; JPEG's limit is 65,535."""

MEGAPIXEL = 1_000_000

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
"""Width or height in pixels."""

Gravity = Literal[
    "center",
    "top",
    "bottom",
    "left",
    "right",
    "top_left",
    "top_right",
    "bottom_left",
    "bottom_right",
]
"""Position in an image."""


class Operation(BaseModel):
    """Step of a rendition; a subclass adds a literal `op` and parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    keeps_depth: ClassVar[bool] = False
    """True if the operation keeps 16 bits a sample; otherwise its input has 8 bits."""

    max_pixels: ClassVar[int | None] = None
    """Largest accepted input, width x height; None for no limit of its own."""

    milliseconds: ClassVar[float] = 25
    """Price of a megapixel of input or output, whichever is larger, in ms; see `work`."""

    op: str

    def __call__(self, image: Image) -> Image:
        """Return a new image; the given image does not change."""
        raise NotImplementedError

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the result for an image of that size.

        An operation that changes the size must override this method, because the limit of outputs
        is checked before the image is decoded.
        """
        return width, height

    def price(self, width: int, height: int) -> float:
        """Price of the operation for an image of that size, in milliseconds of a core."""
        wide, high = self.size_after(width, height)
        return self.milliseconds * max(width * height, wide * high) / MEGAPIXEL

    def scale_needed(self, width: int, height: int) -> float:
        """Smallest scale of the source that suffices, as a fraction of its size; 1 is full size.

        With a fraction, a JPEG can be decoded at 1/2, 1/4 or 1/8. An operation with positions in
        pixels of its source needs 1.
        """
        del width, height
        return 1.0


def offset(spare_x: int, spare_y: int, gravity: Gravity) -> tuple[int, int]:
    """Left and top of a picture in a box that has `spare_x` and `spare_y` free pixels."""
    left = 0 if "left" in gravity else spare_x if "right" in gravity else spare_x // 2
    top = 0 if "top" in gravity else spare_y if "bottom" in gravity else spare_y // 2
    return left, top
