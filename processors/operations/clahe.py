"""CLAHE: contrast that is evened out place by place, and limited so that noise stays noise."""

from typing import ClassVar, Literal

import cv2
from pydantic import Field

from processors.image import Image
from processors.operations.operation import Operation
from processors.operations.paint import colours_of, with_colours


class Clahe(Operation):
    """Contrast-limited adaptive histogram equalisation of lightness; colours keep their hue.

    In 8 bits: of 16, a tile has more levels than pixels, and the limit means something else.
    """

    milliseconds: ClassVar[float] = 40

    op: Literal["clahe"] = "clahe"
    clip_limit: float = Field(default=2.0, ge=0.1, le=40, description="OpenCV's; 1 changes little")
    tiles: int = Field(default=8, ge=1, le=32, description="along each side")

    def __call__(self, image: Image) -> Image:
        """Evened out; the alpha channel stays as it is."""
        light, red, blue = cv2.split(cv2.cvtColor(colours_of(image), cv2.COLOR_BGR2Lab))
        # A tile has a pixel at least.
        tiles = min(self.tiles, image.width), min(self.tiles, image.height)
        even = cv2.createCLAHE(clipLimit=self.clip_limit, tileGridSize=tiles).apply(light)
        made = cv2.cvtColor(cv2.merge([even, red, blue]), cv2.COLOR_Lab2BGR)
        return with_colours(image, made)
