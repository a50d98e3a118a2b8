"""White balance: take away the cast of the light."""

from functools import partial
from typing import ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from processors.image import BGR, Image
from processors.operations.curve import curved
from processors.operations.operation import Operation
from processors.operations.paint import colours_of

# An image of one colour is no photograph under a coloured light.
_MOST = 3.0


class WhiteBalance(Operation):
    """Grey world: multiply each colour so that all three have the same mean."""

    keeps_depth: ClassVar[bool] = True

    op: Literal["white_balance"] = "white_balance"
    strength: float = Field(default=1.0, ge=0, le=1, description="0 leaves all as it is")

    def __call__(self, image: Image) -> Image:
        """Without the cast; the alpha channel stays as it is, and what it hides does not count."""
        colours = colours_of(image)
        seen = None
        if image.has_alpha:
            seen = (image.pixels[:, :, BGR] > 0).astype(np.uint8)
        means = np.array(cv2.mean(colours, mask=seen)[:BGR])
        if not means.all():
            return image
        gains = np.clip(means.mean() / means, 1 / _MOST, _MOST) ** self.strength
        return curved(image, *(partial(np.multiply, gain) for gain in gains))
