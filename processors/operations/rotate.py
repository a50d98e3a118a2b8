"""Rotation by any angle; the canvas grows so that no pixel is cut off."""

import math
from typing import ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from processors.image import Image, Samples
from processors.operations.operation import Operation
from processors.operations.paint import Color, with_room_for

_QUARTERS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_TURN = 360.0
# Larger than the rounding error of a right angle's cosine: a side of 100 must not become 101.
_HAIR = 1e-6


class Rotate(Operation):
    """Turn the image clockwise; multiples of 90 degrees move pixels, other angles interpolate."""

    keeps_depth: ClassVar[bool] = True

    milliseconds: ClassVar[float] = 35

    op: Literal["rotate"] = "rotate"
    angle: float = Field(ge=-360, le=360, description="clockwise angle, in degrees")
    background: Color | None = Field(
        default=None,
        description="colour of the corners; default: transparent for an image with alpha, else "
        "white",
    )

    def __call__(self, image: Image) -> Image:
        """Return the image turned about its centre."""
        angle = self.angle % _TURN
        if not angle:
            return image
        if angle in _QUARTERS:
            turned = cv2.rotate(image.pixels, _QUARTERS[int(angle)])
            return image.with_pixels(turned.astype(image.pixels.dtype, copy=False))
        width, height = self.size_after(image.width, image.height)
        matrix = cv2.getRotationMatrix2D(((image.width - 1) / 2, (image.height - 1) / 2), -angle, 1)
        matrix[:, 2] += np.array([(width - image.width) / 2, (height - image.height) / 2])
        image, colour = with_room_for(image, self.background)
        # `turn` gets colours premultiplied by alpha, so the colour of the corners must be, too.
        if image.has_alpha:
            weight = colour[3] / np.iinfo(image.pixels.dtype).max
            colour = (*(round(each * weight) for each in colour[:3]), colour[3])

        def turn(pixels: Samples) -> Samples:
            made = cv2.warpAffine(
                pixels,
                matrix,
                (width, height),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=colour,
            )
            return made.astype(pixels.dtype, copy=False)

        return image.filtered(turn)

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the result."""
        angle = math.radians(self.angle)
        cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
        return (
            max(1, math.ceil(width * cosine + height * sine - _HAIR)),
            max(1, math.ceil(width * sine + height * cosine - _HAIR)),
        )
