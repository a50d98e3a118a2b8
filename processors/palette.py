"""Measures of colour, from a few pixels on an even grid: their means hardly change with more.

Pixels less than half opaque do not count. Every function gives the same answer at every run.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.image import BGR, Image, Pixels
from processors.job import Swatch
from processors.thumbhash import thumbhash

_GRID_SIDE = 128
_BINS = 8
_VISIBLE_ALPHA = 128
_CLUSTERS = 5
_COLORFULNESS_OF = 3  # no divisor of the grid's side, so all of its columns have a part
_ROUNDS, _CLOSE_ENOUGH = 10, 0.5
_SEED = 5_489  # any; always the same
_SMALL_SIDE = 24
_SHARE_DIGITS = 4
# R - G, and (R + G)/2 - B, of blue, green and red.
_OPPONENTS = np.array([[0, -1, 1], [-1, 0.5, 0.5]], np.float32)


class Palette:
    """What is to be known of an image's colours; cheap to make."""

    def __init__(self, image: Image) -> None:
        grid = cv2.resize(
            image.pixels, within(image, _GRID_SIDE), interpolation=cv2.INTER_NEAREST_EXACT
        )
        self._seen = _visible(grid.astype(np.uint8, copy=False))
        whole = Image(grid.astype(np.uint8, copy=False))
        self._small = whole.resized(*within(whole, _SMALL_SIDE)).pixels

    def dominant_color(self) -> str:
        """The most common colour, as `#rrggbb` in sRGB.

        Each channel is cut into 8 ranges; of the 512 boxes the fullest wins, and the mean of its
        pixels is the answer. Nothing visible gives `#ffffff`.
        """
        if not len(self._seen):
            return "#ffffff"
        row = self._seen.reshape(1, -1, BGR)
        every = [0, 1, 2]
        counts = cv2.calcHist([row], every, None, [_BINS] * BGR, [0, 256] * BGR)
        fullest = np.array(np.unravel_index(int(counts.argmax()), counts.shape))
        lowest = fullest * (256 // _BINS)
        inside = cv2.inRange(row, lowest, lowest + 256 // _BINS - 1)
        return _hex(cv2.mean(row, inside)[:BGR])

    def colorfulness(self) -> float:
        """By Hasler and Süsstrunk (SPIE 5007, 2003): 0 for grey, 109 extremely colourful.

        Root of the variances of R - G and (R + G)/2 - B, and 0.3 of the root of their squared
        means. Nothing visible gives 0.
        """
        if not len(self._seen):
            return 0.0
        some = self._seen[::_COLORFULNESS_OF].reshape(1, -1, BGR).astype(np.float32)
        opponents = cv2.transform(some, _OPPONENTS)
        means, deviations = cv2.meanStdDev(opponents)
        return float(np.hypot(*deviations.ravel()) + 0.3 * np.hypot(*means.ravel()))

    def dominant_colors(self) -> tuple[Swatch, ...]:
        """At most five colours and the share of pixels next to each, largest first.

        k-means in CIELAB (D65) of the image at 24 pixels a side: k-means++ with a fixed seed,
        at most 10 rounds. Where an image has fewer colours, fewer; nothing visible gives none.
        """
        few = _visible(self._small)
        number = min(_CLUSTERS, len(few))
        if not number:
            return ()
        unit = few.reshape(1, -1, BGR).astype(np.float32) / 255
        # A column of them: OpenCV would take a single row of three numbers for three points.
        points = cv2.cvtColor(unit, cv2.COLOR_BGR2Lab).reshape(-1, 1, BGR)
        cv2.setRNGSeed(_SEED)
        stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, _ROUNDS, _CLOSE_ENOUGH)
        _, labels, centres = cv2.kmeans(
            points, number, np.empty(0, np.int32), stop, 1, cv2.KMEANS_PP_CENTERS
        )
        counts = np.bincount(labels.ravel(), minlength=number)
        colours = cv2.cvtColor(centres.reshape(1, -1, BGR), cv2.COLOR_Lab2BGR).reshape(-1, BGR)
        return _swatches(np.clip(colours, 0, 1).astype(np.float32) * 255, counts)

    def thumbhash(self) -> bytes:
        """A placeholder of the whole image (`processors.thumbhash`)."""
        code = cv2.COLOR_BGRA2RGBA if self._small.shape[2] > BGR else cv2.COLOR_BGR2RGBA
        return thumbhash(cv2.cvtColor(self._small, code).astype(np.uint8, copy=False))


def _swatches(colours: NDArray[np.float32], counts: NDArray[np.intp]) -> tuple[Swatch, ...]:
    merged: dict[str, int] = {}
    for colour, count in zip(colours, counts, strict=True):
        if count:
            name = _hex(colour)
            merged[name] = merged.get(name, 0) + int(count)
    total = sum(merged.values())
    found = [Swatch(name, round(count / total, _SHARE_DIGITS)) for name, count in merged.items()]
    return tuple(sorted(found, key=lambda each: (-each.share, each.color)))


def _hex(bgr: NDArray[np.float32] | tuple[float, ...]) -> str:
    blue, green, red = (round(float(each)) for each in bgr)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _visible(pixels: Pixels) -> NDArray[np.uint8]:
    """One pixel a row."""
    rows = pixels.reshape(-1, pixels.shape[2])
    if rows.shape[1] > BGR:
        rows = rows[rows[:, BGR] >= _VISIBLE_ALPHA]
    return np.ascontiguousarray(rows[:, :BGR]).astype(np.uint8, copy=False)


def within(image: Image, side: int) -> tuple[int, int]:
    """Width and height of `image`, reduced to a longer side of at most `side`."""
    scale = min(1.0, side / max(image.width, image.height))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))
