"""Sharpening with an unsharp mask: adds the detail that a blur removes once more."""

from typing import ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from processors.image import BGR, Image
from processors.operations.blur import Blur
from processors.operations.operation import Operation
from processors.operations.paint import colours_of, with_colours


class Sharpen(Operation):
    """Sharpen with an unsharp mask: pixel + amount x (pixel - blurred pixel)."""

    keeps_depth: ClassVar[bool] = True

    milliseconds: ClassVar[float] = 55

    op: Literal["sharpen"] = "sharpen"
    sigma: float = Field(default=1.0, ge=0.1, le=8, description="sigma of the blur, in pixels")
    amount: float = Field(default=0.5, ge=0, le=5, description="strength of the mask")

    def __call__(self, image: Image) -> Image:
        """Return the sharper image; the alpha channel does not change."""
        smooth = np.ascontiguousarray(Blur(sigma=self.sigma)(image).pixels[:, :, :BGR])
        sharp = cv2.addWeighted(colours_of(image), 1 + self.amount, smooth, -self.amount, 0)
        return with_colours(image, sharp)
