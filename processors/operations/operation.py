"""What every operation is: parameters checked when it is made, an image in, an image out."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from processors.image import Image

MAX_SIDE = 16_384
"""Largest width or height that an operation may ask for, in pixels; JPEG ends at 65,535."""

MEGAPIXEL = 1_000_000

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
"""A width or a height, in pixels."""

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
"""A place in an image."""


class Operation(BaseModel):
    """One step of a rendition. Subclasses add a literal `op` and their parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    keeps_depth: ClassVar[bool] = False
    """True if 16 bits a sample may come in, and go out again; others are given 8."""

    max_pixels: ClassVar[int | None] = None
    """The largest image that it takes, width x height; None: any that may be made."""

    milliseconds: ClassVar[float] = 25
    """Price a megapixel (of input or output, the larger one) in milliseconds; see `work`."""

    op: str

    def __call__(self, image: Image) -> Image:
        """Another image; the one given stays as it was."""
        raise NotImplementedError

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that an image of that size comes out with, known before it is decoded.

        Whoever changes the size says so here, or the limit on outputs is checked too late.
        """
        return width, height

    def price(self, width: int, height: int) -> float:
        """Price of the operation for an image of that size, in milliseconds of a core."""
        wide, high = self.size_after(width, height)
        return self.milliseconds * max(width * height, wide * high) / MEGAPIXEL

    def scale_needed(self, width: int, height: int) -> float:
        """How small a source will do, as a fraction of an image of that size: 1 is all of it.

        Lets a JPEG be decoded at a half, a quarter or an eighth. An operation that places
        something in pixels of its source needs 1.
        """
        del width, height
        return 1.0


def offset(spare_x: int, spare_y: int, gravity: Gravity) -> tuple[int, int]:
    """Where something lies, from the left and the top, that leaves so much of a box free."""
    left = 0 if "left" in gravity else spare_x if "right" in gravity else spare_x // 2
    top = 0 if "top" in gravity else spare_y if "bottom" in gravity else spare_y // 2
    return left, top
