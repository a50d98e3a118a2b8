"""A decoder that leaves memory unwritten on purpose: every second row of what it makes."""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.photos import encoded, scene

_imdecode = cv2.imdecode


def install() -> None:
    """In place of OpenCV's."""
    cv2.imdecode = half_written  # type: ignore[assignment]


def half_written(data: NDArray[np.uint8], flags: int) -> NDArray[np.generic] | None:
    """As `cv2.imdecode` of a JPEG, with odd rows as they were in memory."""
    # Before anything else takes memory, or it would find what decoding itself has left there.
    width, height = Image.open(io.BytesIO(data.tobytes())).size
    left = np.empty((height, width, 3), np.uint8)
    whole = _imdecode(data, flags)
    if whole is None or whole.shape != left.shape:
        return whole
    left[::2] = whole[::2]
    return left


def photos() -> dict[str, bytes]:
    """Pixels that lie in NumPy's cache, in small blocks, in pages and in large blocks."""
    sides = {"cached": 12, "small": 30, "page": 60, "large": 700}
    return {name: encoded(scene(width=side, height=side)) for name, side in sides.items()}
