"""White balance: removes the colour cast of the light."""

from functools import partial
from typing import ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from processors.image import BGR, Image
from processors.operations.curve import curved
from processors.operations.operation import Operation
from processors.operations.paint import colours_of

# Largest gain of a colour. An image of one colour needs more, but it is no photograph under
# coloured light.
_MOST = 3.0


class WhiteBalance(Operation):
    """Multiply each colour so that all three have the same mean ("grey world")."""

    keeps_depth: ClassVar[bool] = True

    op: Literal["white_balance"] = "white_balance"
    strength: float = Field(default=1.0, ge=0, le=1, description="0 changes nothing")

    def __call__(self, image: Image) -> Image:
        """Return the image without the cast; alpha does not change, hidden colours do not count."""
        colours = colours_of(image)
        seen = None
        if image.has_alpha:
            seen = (image.pixels[:, :, BGR] > 0).astype(np.uint8)
        means = np.array(cv2.mean(colours, mask=seen)[:BGR])
        if not means.all():
            return image
        gains = np.clip(means.mean() / means, 1 / _MOST, _MOST) ** self.strength
        return curved(image, *(partial(np.multiply, gain) for gain in gains))
