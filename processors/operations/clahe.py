"""CLAHE: equalises contrast tile by tile, with a limit so that noise is not amplified."""

from typing import ClassVar, Literal

import cv2
from pydantic import Field

from processors.image import Image
from processors.operations.operation import Operation
from processors.operations.paint import colours_of, with_colours


class Clahe(Operation):
    """Equalise the histogram of lightness tile by tile, with limited contrast; hues do not change.

    The operation works in 8 bits: with 16 bits, a tile has more levels than pixels, and the
    meaning of the limit changes.
    """

    milliseconds: ClassVar[float] = 40

    op: Literal["clahe"] = "clahe"
    clip_limit: float = Field(
        default=2.0, ge=0.1, le=40, description="contrast limit, as in OpenCV; 1 changes little"
    )
    tiles: int = Field(default=8, ge=1, le=32, description="number of tiles along each side")

    def __call__(self, image: Image) -> Image:
        """Return the equalised image; the alpha channel does not change."""
        light, red, blue = cv2.split(cv2.cvtColor(colours_of(image), cv2.COLOR_BGR2Lab))
        # Each tile needs at least one pixel.
        tiles = min(self.tiles, image.width), min(self.tiles, image.height)
        even = cv2.createCLAHE(clipLimit=self.clip_limit, tileGridSize=tiles).apply(light)
        made = cv2.cvtColor(cv2.merge([even, red, blue]), cv2.COLOR_Lab2BGR)
        return with_colours(image, made)
