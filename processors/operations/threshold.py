"""Conversion to black and white by a threshold."""

from typing import Literal, Self

import cv2
from pydantic import Field, model_validator

from processors.image import Image
from processors.operations.operation import Operation
from processors.operations.paint import colours_of, with_colours

_WHITE = 255


class Threshold(Operation):
    """Make pixels white whose luma is above a threshold, and the others black."""

    op: Literal["threshold"] = "threshold"
    method: Literal["fixed", "otsu", "adaptive"] = Field(
        default="otsu",
        description="threshold: a fixed value, Otsu's, or for each pixel the mean of its "
        "surroundings",
    )
    value: int = Field(default=127, ge=0, le=255, description="threshold of `fixed`")
    block: int = Field(
        default=31,
        ge=3,
        le=255,
        description="side of the surroundings of `adaptive`, in pixels; an odd number",
    )
    offset: float = Field(
        default=5, ge=-255, le=255, description="subtracted from the mean of `adaptive`"
    )
    invert: bool = Field(default=False, description="swap black and white")

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.block % 2 == 0:
            raise ValueError(f"block is {self.block}, it must be odd: a pixel has to be its centre")
        return self

    def __call__(self, image: Image) -> Image:
        """Return the image in black and white; the alpha channel does not change."""
        grey = cv2.cvtColor(colours_of(image), cv2.COLOR_BGR2GRAY)
        kind = cv2.THRESH_BINARY_INV if self.invert else cv2.THRESH_BINARY
        if self.method == "adaptive":
            made = cv2.adaptiveThreshold(
                grey, _WHITE, cv2.ADAPTIVE_THRESH_MEAN_C, kind, self.block, self.offset
            )
        else:
            otsu = cv2.THRESH_OTSU if self.method == "otsu" else 0
            made = cv2.threshold(grey, self.value, _WHITE, kind | otsu)[1]
        return with_colours(image, made)
