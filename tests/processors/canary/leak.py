"""Decoder that deliberately leaves every second row of its output unwritten."""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.photos import encoded, scene

_imdecode = cv2.imdecode


def install() -> None:
    """Replace OpenCV's decoder by this one."""
    cv2.imdecode = half_written  # type: ignore[assignment]


def half_written(data: NDArray[np.uint8], flags: int) -> NDArray[np.generic] | None:
    """Decode a JPEG as `cv2.imdecode` does; odd rows keep what memory held before."""
    # The output is allocated first: later its memory would hold what decoding itself left there.
    width, height = Image.open(io.BytesIO(data.tobytes())).size
    left = np.empty((height, width, 3), np.uint8)
    whole = _imdecode(data, flags)
    if whole is None or whole.shape != left.shape:
        return whole
    left[::2] = whole[::2]
    return left


def photos() -> dict[str, bytes]:
    """JPEGs whose pixels take memory from NumPy's cache, small blocks, pages and large blocks."""
    sides = {"cached": 12, "small": 30, "page": 60, "large": 700}
    return {name: encoded(scene(width=side, height=side)) for name, side in sides.items()}
