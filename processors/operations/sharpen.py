"""Sharpen: an unsharp mask, what a blur takes away added once more."""

from typing import ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from processors.image import BGR, Image
from processors.operations.blur import Blur
from processors.operations.operation import Operation
from processors.operations.paint import colours_of, with_colours


class Sharpen(Operation):
    """Unsharp mask: pixel + amount x (pixel - blurred pixel)."""

    keeps_depth: ClassVar[bool] = True

    milliseconds: ClassVar[float] = 55

    op: Literal["sharpen"] = "sharpen"
    sigma: float = Field(default=1.0, ge=0.1, le=8, description="of the blur, in pixels")
    amount: float = Field(default=0.5, ge=0, le=5, description="how much of it is added")

    def __call__(self, image: Image) -> Image:
        """Sharper; the alpha channel stays as it is."""
        smooth = np.ascontiguousarray(Blur(sigma=self.sigma)(image).pixels[:, :, :BGR])
        sharp = cv2.addWeighted(colours_of(image), 1 + self.amount, smooth, -self.amount, 0)
        return with_colours(image, sharp)
