"""Covering of boxes of an image, so that their content is unrecognisable."""

from collections.abc import Iterable
from typing import Literal

import cv2
import numpy as np

from processors.image import BGR, Image, Pixels
from processors.operations.blur import blurred
from processors.operations.paint import Color, sample_of

Cover = Literal["fill", "pixelate", "blur"]
"""Method of covering; only `fill` removes all information."""

# Number of cells that remain along the longer side of a box: too few to tell one face from another.
_CELLS = 8


def covered(
    image: Image, boxes: Iterable[tuple[int, int, int, int]], mode: Cover, color: Color
) -> Image:
    """Cover boxes (x, y, width, height; in pixels); with `fill` the boxes are opaque."""
    pixels = image.pixels.copy()
    for x, y, width, height in boxes:
        part = pixels[y : y + height, x : x + width]
        if not part.size:
            continue
        if mode == "fill":
            part[:] = sample_of(color, image)
        else:
            part[:, :, :BGR] = _coarse(np.ascontiguousarray(part[:, :, :BGR]), mode)
    return image.with_pixels(pixels)


def _coarse(part: Pixels, mode: Cover) -> Pixels:
    height, width = part.shape[:2]
    # The part is averaged first, because a blur alone can partly be undone.
    scale = min(1.0, _CELLS / max(width, height))
    cells = max(1, round(width * scale)), max(1, round(height * scale))
    few = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
    how = cv2.INTER_NEAREST if mode == "pixelate" else cv2.INTER_LINEAR
    made = cv2.resize(few, (width, height), interpolation=how).astype(part.dtype, copy=False)
    if mode == "pixelate":
        return made
    return blurred(made, max(width, height) / (2 * _CELLS) + 1)  # type: ignore[return-value]
