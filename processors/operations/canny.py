"""Canny edge detection; the result shows white edges on black."""

from typing import Literal, Self

import cv2
from pydantic import Field, model_validator

from processors.image import Image
from processors.operations.operation import Operation
from processors.operations.paint import colours_of, with_colours


class Canny(Operation):
    """Detect edges of the luma with Canny's algorithm and OpenCV's parameters."""

    op: Literal["canny"] = "canny"
    low: float = Field(default=100, ge=0, le=100_000, description="gradient that continues an edge")
    high: float = Field(default=200, ge=0, le=100_000, description="gradient that starts an edge")
    aperture: Literal[3, 5, 7] = Field(
        default=3, description="side of the Sobel operator, in pixels"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low is {self.low:g}, it must be at most high, {self.high:g}")
        return self

    def __call__(self, image: Image) -> Image:
        """Return the edges; the alpha channel does not change."""
        grey = cv2.cvtColor(colours_of(image), cv2.COLOR_BGR2GRAY)
        edges = cv2.Canny(grey, self.low, self.high, apertureSize=self.aperture)
        return with_colours(image, edges)
