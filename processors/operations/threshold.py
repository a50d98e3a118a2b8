"""Threshold: black and white, nothing between."""

from typing import Literal, Self

import cv2
from pydantic import Field, model_validator

from processors.image import Image
from processors.operations.operation import Operation
from processors.operations.paint import colours_of, with_colours

_WHITE = 255


class Threshold(Operation):
    """White where the luma is above a threshold: a fixed one, Otsu's, or its surroundings' mean."""

    op: Literal["threshold"] = "threshold"
    method: Literal["fixed", "otsu", "adaptive"] = Field(
        default="otsu", description="where the threshold comes from"
    )
    value: int = Field(default=127, ge=0, le=255, description="of `fixed`")
    block: int = Field(
        default=31, ge=3, le=255, description="of `adaptive`: side of the surroundings, odd"
    )
    offset: float = Field(
        default=5, ge=-255, le=255, description="of `adaptive`: taken from the mean"
    )
    invert: bool = Field(default=False, description="white where it would be black")

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.block % 2 == 0:
            raise ValueError("block is odd: a pixel and what is around it")
        return self

    def __call__(self, image: Image) -> Image:
        """Black and white; the alpha channel stays as it is."""
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
