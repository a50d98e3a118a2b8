"""Tone curves: map each sample to another one; used by brightness, contrast and gamma."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.image import BGR, Image
from processors.operations.paint import colours_of, with_colours

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Function from samples of 0 to 1 to new samples; results outside of 0 to 1 are clipped."""


def curved(image: Image, *curves: Curve) -> Image:
    """Apply one curve to all colours, or three curves to blue, green and red; not to alpha."""
    most = np.iinfo(image.pixels.dtype).max
    steps = np.linspace(0, 1, most + 1)
    tables = [
        np.rint(np.clip(curve(steps), 0, 1) * most).astype(image.pixels.dtype) for curve in curves
    ]
    colours = colours_of(image)
    if not image.is_deep:
        table = tables[0] if len(tables) == 1 else np.stack(tables, axis=1)[:, None, :]
        return with_colours(image, cv2.LUT(colours, table))
    made = np.empty_like(colours)
    for channel in range(BGR):
        made[:, :, channel] = tables[channel % len(tables)][colours[:, :, channel]]
    return with_colours(image, made)
