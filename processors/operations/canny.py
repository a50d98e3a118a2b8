"""Canny: edges, white on black."""

from typing import Literal, Self

import cv2
from pydantic import Field, model_validator

from processors.image import Image
from processors.operations.operation import Operation
from processors.operations.paint import colours_of, with_colours


class Canny(Operation):
    """Canny's edge detector on the luma, with OpenCV's parameters."""

    op: Literal["canny"] = "canny"
    low: float = Field(default=100, ge=0, le=100_000, description="where an edge may go on")
    high: float = Field(default=200, ge=0, le=100_000, description="where an edge may begin")
    aperture: Literal[3, 5, 7] = Field(default=3, description="of the Sobel operator, in pixels")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is at most high")
        return self

    def __call__(self, image: Image) -> Image:
        """Its edges; the alpha channel stays as it is."""
        grey = cv2.cvtColor(colours_of(image), cv2.COLOR_BGR2GRAY)
        edges = cv2.Canny(grey, self.low, self.high, apertureSize=self.aperture)
        return with_colours(image, edges)
