"""Measures of colour, from pixels on an even grid; more pixels would hardly change the results.

Pixels that are less than half opaque do not count. All results are deterministic.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.image import BGR, Image, Pixels, within
from processors.job import Swatch
from processors.measures.thumbhash import thumbhash

_SMALL_SIDE = 24
_GRID_OF_SMALL = 4  # a whole number, because averaging is fast only then
# Every fifth or 37th pixel is used. These steps do not divide the grid's side, so that pixels of
# all columns are used.
_COLORFULNESS_OF, _CLUSTERED_OF = 5, 37
_VISIBLE_ALPHA = 128
_CLUSTERS = 5
_ROUNDS, _CLOSE_ENOUGH = 10, 0.5
_WHITE = 255
_SEED = 5_489  # any constant
_SHARE_DIGITS = 4
# R - G and (R + G)/2 - B, as factors of blue, green and red.
_OPPONENTS = np.array([[0, -1, 1], [-1, 0.5, 0.5]], np.float32)


class Palette:
    """Colours of an image on a small grid, and the measures of these colours."""

    def __init__(self, image: Image) -> None:
        width, height = within(image, _SMALL_SIDE)
        grid = cv2.resize(
            image.pixels,
            (_GRID_OF_SMALL * width, _GRID_OF_SMALL * height),
            interpolation=cv2.INTER_NEAREST_EXACT,
        ).astype(np.uint8, copy=False)
        self._seen = _visible(grid)
        self._small = _averaged(grid, width, height)

    def colorfulness(self) -> float:
        """Colourfulness by Hasler and Süsstrunk (SPIE 5007, 2003): 0 is grey, 109 is extreme.

        The value is the root of the summed variances of R - G and (R + G)/2 - B, plus 0.3 times the
        root of their summed squared means. An image without a visible pixel has 0.
        """
        if not len(self._seen):
            return 0.0
        some = self._seen[::_COLORFULNESS_OF].astype(np.float32)
        opponents = cv2.transform(some.reshape(1, -1, BGR), _OPPONENTS)
        means, deviations = cv2.meanStdDev(opponents)
        return math.hypot(*deviations[:, 0]) + 0.3 * math.hypot(*means[:, 0])

    def dominant_colors(self) -> tuple[Swatch, ...]:
        """Up to five dominant colours and their fractions of the pixels, largest first.

        The colours are the centres of clusters of up to 250 pixels of the grid, by k-means in
        CIELAB (D65): k-means++ with a fixed seed, at most 10 rounds. An image with fewer colours
        has fewer clusters, and an image without a visible pixel has none.
        """
        few = self._seen[::_CLUSTERED_OF].astype(np.float32)
        number = min(_CLUSTERS, len(few))
        if not number:
            return ()
        unit = few.reshape(1, -1, BGR) / np.float32(_WHITE)
        # One pixel a row, because OpenCV reads a single row of three numbers as three points.
        points = cv2.cvtColor(unit, cv2.COLOR_BGR2Lab).reshape(-1, 1, BGR)
        cv2.setRNGSeed(_SEED)
        stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, _ROUNDS, _CLOSE_ENOUGH)
        _, labels, centres = cv2.kmeans(
            points, number, np.empty(0, np.int32), stop, 1, cv2.KMEANS_PP_CENTERS
        )
        counts = np.bincount(labels.ravel(), minlength=number)
        colours = cv2.cvtColor(centres.reshape(1, -1, BGR), cv2.COLOR_Lab2BGR).reshape(-1, BGR)
        return _swatches((_WHITE * colours).tolist(), counts.tolist())

    def thumbhash(self) -> bytes:
        """ThumbHash of the whole image, a placeholder (`processors.measures.thumbhash`)."""
        return thumbhash(self._small)


def _swatches(colours: list[list[float]], counts: list[int]) -> tuple[Swatch, ...]:
    merged: dict[str, int] = {}
    for colour, count in zip(colours, counts, strict=True):
        if count:
            name = _hex(colour)
            merged[name] = merged.get(name, 0) + count
    total = sum(counts)
    swatches = [Swatch(name, round(count / total, _SHARE_DIGITS)) for name, count in merged.items()]
    return tuple(sorted(swatches, key=lambda each: (-each.share, each.color)))


def _hex(bgr: Sequence[float]) -> str:
    blue, green, red = (max(0, min(_WHITE, round(each))) for each in bgr)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _averaged(grid: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if grid.shape[2] > BGR:
        return Image(grid).resized(width, height).pixels.astype(np.uint8, copy=False)
    small = cv2.resize(grid, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)


def _visible(pixels: Pixels) -> NDArray[np.uint8]:
    """BGR of the pixels that are at least half opaque, one pixel a row."""
    rows = pixels.reshape(-1, pixels.shape[2])
    if rows.shape[1] > BGR:
        rows = rows[rows[:, BGR] >= _VISIBLE_ALPHA]
    return np.ascontiguousarray(rows[:, :BGR]).astype(np.uint8, copy=False)
