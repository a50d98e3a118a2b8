"""Scale an image to fit into a box, and fill the rest of the box with a colour."""

from typing import ClassVar, Literal

import cv2
from pydantic import Field

from processors.image import Image
from processors.operations.fit import Fit
from processors.operations.operation import MAX_SIDE, Gravity, Operation, offset
from processors.operations.paint import Color, with_room_for


class Pad(Operation):
    """Scale the image to fit, then add borders; every result has the same size."""

    keeps_depth: ClassVar[bool] = True

    op: Literal["pad"] = "pad"
    width: int = Field(ge=1, le=MAX_SIDE, description="width in pixels")
    height: int = Field(ge=1, le=MAX_SIDE, description="height in pixels")
    gravity: Gravity = Field(default="center", description="position of the image in the box")
    background: Color | None = Field(
        default=None,
        description="colour of the borders; default: transparent for an image with alpha, else "
        "white",
    )
    enlarge: bool = Field(default=False, description="also scale up smaller images")

    def __call__(self, image: Image) -> Image:
        """Return an image of exactly the size of the box."""
        fitted = self._fit(image)
        spare_x, spare_y = self.width - fitted.width, self.height - fitted.height
        if not spare_x and not spare_y:
            return fitted
        left, top = offset(spare_x, spare_y, self.gravity)
        fitted, colour = with_room_for(fitted, self.background)
        made = cv2.copyMakeBorder(
            fitted.pixels,
            *(top, spare_y - top, left, spare_x - left),
            borderType=cv2.BORDER_CONSTANT,
            value=colour,
        )
        return fitted.with_pixels(made.astype(fitted.pixels.dtype, copy=False))

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the box."""
        del width, height
        return self.width, self.height

    def scale_needed(self, width: int, height: int) -> float:
        """Scale of the fitted image, at most 1: scaling down averages finer detail away."""
        return self._fit.scale_needed(width, height)

    @property
    def _fit(self) -> Fit:
        return Fit(width=self.width, height=self.height, enlarge=self.enlarge)
