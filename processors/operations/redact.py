"""Redact: make parts of an image unrecognisable."""

from typing import Annotated, ClassVar, Literal, NamedTuple

import cv2
import numpy as np
from pydantic import Field

from processors.image import BGR, Image, Pixels
from processors.operations.blur import blurred
from processors.operations.operation import MAX_SIDE, Operation
from processors.operations.paint import Color, sample_of

MAX_BOXES = 64
# What is left of a box, along its longer side: too little to tell one face from another.
_CELLS = 8


class Box(NamedTuple):
    """A part of an image, in pixels; what sticks out of the image is cut off."""

    x: Annotated[int, Field(ge=0, le=MAX_SIDE)]
    y: Annotated[int, Field(ge=0, le=MAX_SIDE)]
    width: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)]


class Redact(Operation):
    """Cover boxes with a colour, or leave 8 cells a side of what was in them.

    `fill` alone leaves nothing. From cells or a blur of a licence plate or a PIN, whose letters are
    known, others can try out which ones give that picture.
    """

    keeps_depth: ClassVar[bool] = True

    op: Literal["redact"] = "redact"
    boxes: tuple[Box, ...] = Field(
        min_length=1, max_length=MAX_BOXES, description="each as [x, y, width, height], in pixels"
    )
    mode: Literal["fill", "pixelate", "blur"] = Field(
        default="fill", description="what is done; `fill` alone leaves nothing to guess from"
    )
    color: Color = Field(default="#000000", description="of `fill`")

    def __call__(self, image: Image) -> Image:
        """With the boxes covered; under `fill` they are opaque."""
        pixels = image.pixels.copy()
        for x, y, width, height in self.boxes:
            part = pixels[y : y + height, x : x + width]
            if not part.size:
                continue
            if self.mode == "fill":
                part[:] = sample_of(self.color, image)
            else:
                part[:, :, :BGR] = self._coarse(np.ascontiguousarray(part[:, :, :BGR]))
        return image.with_pixels(pixels)

    def _coarse(self, part: Pixels) -> Pixels:
        height, width = part.shape[:2]
        # Averages first, for a blur alone can be undone to a degree.
        scale = min(1.0, _CELLS / max(width, height))
        cells = max(1, round(width * scale)), max(1, round(height * scale))
        few = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
        how = cv2.INTER_NEAREST if self.mode == "pixelate" else cv2.INTER_LINEAR
        made = cv2.resize(few, (width, height), interpolation=how).astype(part.dtype, copy=False)
        if self.mode == "pixelate":
            return made
        return blurred(made, max(width, height) / (2 * _CELLS) + 1)  # type: ignore[return-value]
