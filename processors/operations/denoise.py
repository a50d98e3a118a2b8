"""Denoise: non-local means, which averages patches that look alike."""

from typing import ClassVar, Literal

import cv2
from pydantic import Field

from processors.image import Image
from processors.operations.operation import MEGAPIXEL, Operation
from processors.operations.paint import colours_of, with_colours

_PRICE = 4  # milliseconds a megapixel, for each pixel of the window
_PATCH = 7  # in pixels, as OpenCV recommends


class Denoise(Operation):
    """Non-local means (Buades 2005) in Lab; takes seconds for what others do in milliseconds."""

    # A window of 21 takes about 1.5 s a megapixel on one core; an image may take 10 s in all.
    max_pixels: ClassVar[int | None] = 4_000_000

    op: Literal["denoise"] = "denoise"
    strength: float = Field(default=3, gt=0, le=30, description="OpenCV's h; much takes detail")
    window: Literal[7, 11, 15, 21] = Field(
        default=11, description="side of the square that is searched, in pixels"
    )

    def price(self, width: int, height: int) -> float:
        """Price of an image of that size; every pixel of the window is compared."""
        return _PRICE * self.window**2 * width * height / MEGAPIXEL

    def __call__(self, image: Image) -> Image:
        """With less noise; the alpha channel stays as it is."""
        made = cv2.fastNlMeansDenoisingColored(
            colours_of(image),
            None,
            self.strength,
            self.strength,
            _PATCH,
            self.window,
        )
        return with_colours(image, made)
