"""Saliency: position of the box that contains most edges of an image."""

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.image import Image

# Longer side in pixels of the copy that is searched: enough to tell a face from a wall, and as fast
# for a large image as for a small one.
_LOOKED_AT = 256
# Among equal positions the one nearest to the middle wins. A position at the edge loses at most
# this part of the image's total edge energy.
_PULL = 0.01


def busiest(image: Image, width: int, height: int) -> tuple[int, int]:
    """Left and top of the box of that size with most edge energy (magnitude of the gradient)."""
    small = _small(image)
    scale_x, scale_y = small.shape[1] / image.width, small.shape[0] / image.height
    box_x = min(small.shape[1], max(1, round(width * scale_x)))
    box_y = min(small.shape[0], max(1, round(height * scale_y)))
    sums = cv2.integral(_energy(small))
    held = sums[box_y:, box_x:] - sums[:-box_y, box_x:] - sums[box_y:, :-box_x]
    held = held + sums[:-box_y, :-box_x]
    down, right = held.shape[0] - 1, held.shape[1] - 1
    rows, columns = np.mgrid[: down + 1, : right + 1]
    away = np.abs(rows - down / 2) / max(1, down) + np.abs(columns - right / 2) / max(1, right)
    best = int(np.argmax(held - _PULL * max(1.0, float(sums[-1, -1])) * away))
    top, left = divmod(best, right + 1)
    return (
        round(left / max(1, right) * (image.width - width)),
        round(top / max(1, down) * (image.height - height)),
    )


def _small(image: Image) -> NDArray[np.float32]:
    """Reduced copy in grey, composited over white."""
    scale = min(1.0, _LOOKED_AT / max(image.width, image.height))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    seen = image.in_8_bits().resized(*size).on_white()
    return cv2.cvtColor(seen.pixels, cv2.COLOR_BGR2GRAY).astype(np.float32)


def _energy(
    grey: NDArray[np.float32],
) -> NDArray[np.float32]:
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    return cv2.magnitude(across, down).astype(np.float32, copy=False)
