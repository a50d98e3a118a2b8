"""Mirroring of an image."""

from typing import ClassVar, Literal

import cv2
from pydantic import Field

from processors.image import Image
from processors.operations.operation import Operation

_CODES = {"horizontal": 1, "vertical": 0, "both": -1}


class Flip(Operation):
    """Mirror the image: `horizontal` swaps left and right, `vertical` swaps top and bottom."""

    keeps_depth: ClassVar[bool] = True

    op: Literal["flip"] = "flip"
    direction: Literal["horizontal", "vertical", "both"] = Field(
        default="horizontal", description="direction in which sides are swapped"
    )

    def __call__(self, image: Image) -> Image:
        """Return the mirrored image."""
        flipped = cv2.flip(image.pixels, _CODES[self.direction])
        return image.with_pixels(flipped.astype(image.pixels.dtype, copy=False))
