"""Gaussian blur, with its strength given as sigma in pixels."""

from typing import ClassVar, Literal

import cv2
from pydantic import Field

from processors.image import Image, Samples
from processors.operations.operation import Operation

# Largest sigma that is applied at full size. A kernel is a little wider than six sigmas. A larger
# sigma is applied to a smaller copy, which changes samples by less than 1 of 255, so that no sigma
# costs more than this one.
_WIDEST = 8.0


class Blur(Operation):
    """Smooth the image with a Gaussian kernel; its size follows from sigma."""

    keeps_depth: ClassVar[bool] = True

    milliseconds: ClassVar[float] = 100

    op: Literal["blur"] = "blur"
    sigma: float = Field(ge=0.1, le=250, description="standard deviation, in pixels")

    def __call__(self, image: Image) -> Image:
        """Return the blurred image."""
        return image.filtered(lambda pixels: blurred(pixels, self.sigma))


def blurred(pixels: Samples, sigma: float) -> Samples:
    """Smooth pixels of any depth and any number of channels."""
    if sigma <= _WIDEST:
        made = cv2.GaussianBlur(pixels, (0, 0), sigma)
        return made.reshape(pixels.shape).astype(pixels.dtype, copy=False)
    height, width = pixels.shape[:2]
    small = cv2.resize(
        pixels, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA
    ).reshape(max(1, height // 2), max(1, width // 2), -1)
    half = blurred(small.astype(pixels.dtype, copy=False), sigma / 2)
    made = cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)
    return made.reshape(pixels.shape).astype(pixels.dtype, copy=False)
