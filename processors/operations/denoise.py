"""Noise reduction by non-local means, which averages similar patches."""

from typing import ClassVar, Literal

import cv2
from pydantic import Field

from processors.image import Image
from processors.operations.operation import MEGAPIXEL, Operation
from processors.operations.paint import colours_of, with_colours

_PRICE = 4  # milliseconds a megapixel, for each pixel of the window
_PATCH = 7  # side of a patch in pixels, as OpenCV recommends


class Denoise(Operation):
    """Reduce noise by non-local means (Buades 2005) in Lab; much slower than other operations."""

    # A window of 21 takes about 1.5 s a megapixel on one core; the limit of an image is 10 s.
    max_pixels: ClassVar[int | None] = 4_000_000

    op: Literal["denoise"] = "denoise"
    strength: float = Field(
        default=3, gt=0, le=30, description="OpenCV's `h`; high values remove detail"
    )
    window: Literal[7, 11, 15, 21] = Field(
        default=11, description="side of the searched square, in pixels"
    )

    def price(self, width: int, height: int) -> float:
        """Price of an image of that size; it grows with the number of pixels in the window."""
        return _PRICE * self.window**2 * width * height / MEGAPIXEL

    def __call__(self, image: Image) -> Image:
        """Return the image with less noise; the alpha channel does not change."""
        made = cv2.fastNlMeansDenoisingColored(
            colours_of(image),
            None,
            self.strength,
            self.strength,
            _PATCH,
            self.window,
        )
        return with_colours(image, made)
