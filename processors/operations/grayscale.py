"""Conversion to grey."""

from typing import ClassVar, Literal

import cv2

from processors.image import Image
from processors.operations.operation import Operation
from processors.operations.paint import colours_of, with_colours


class Grayscale(Operation):
    """Replace all colours with the luma of ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B)."""

    keeps_depth: ClassVar[bool] = True

    op: Literal["grayscale"] = "grayscale"

    def __call__(self, image: Image) -> Image:
        """Return the grey image, which still has three colour channels."""
        grey = cv2.cvtColor(colours_of(image), cv2.COLOR_BGR2GRAY)
        return with_colours(image, grey)
