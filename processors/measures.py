"""Measures: what the pixels of an image say, as numbers that SQL can filter and compare.

Those of luma are taken from a copy that is reduced so that its longer side is at most 1,024
pixels (halved by averaging as long as that leaves more, then bilinear; never enlarged), with alpha
over white. All depend on the image's bytes alone, never on the preset, so rows of different
presets compare. They run for every image, so each is written for OpenCV's vectorised paths: the
plain way, with area averaging and NumPy, took as long as decoding.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.image import BGR, Image, Pixels
from processors.job import Measures

MEASURED_SIDE = 1024
"""Longer side, in pixels, of the copy that is measured: shows focus, and costs a few ms."""

_COLOUR_SIDE = 128
_COLOUR_BINS = 8
_VISIBLE_ALPHA = 128
_PHASH_SIDE = 32
_PHASH_BITS = 8


def measure(image: Image) -> Measures:
    """All measures of an image that is oriented and in sRGB."""
    grey = _reduced_luma(image)
    return Measures(
        sharpness=sharpness(grey),
        brightness=brightness(grey),
        dominant_color=dominant_color(image),
        phash=phash(grey),
    )


def sharpness(grey: Pixels) -> float:
    """Variance of the Laplacian (3 x 3, 4 neighbours) of the luma, in squared luma steps, >= 0.

    A blurred photograph is below about 100, a sharp one in the hundreds or thousands; noise and
    texture count as sharpness. Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy", ICPR 2000.
    """
    edges = cv2.Laplacian(grey, cv2.CV_16S)
    # cv2.meanStdDev has no vectorised path for 16 bits, these two have.
    return max(0.0, cv2.norm(edges, cv2.NORM_L2SQR) / edges.size - cv2.mean(edges)[0] ** 2)


def brightness(grey: Pixels) -> float:
    """Mean luma, 0 (black) to 255 (white): 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)."""
    # OpenCV sums first and multiplies by 1/n: white comes out a hair above 255.
    return min(255.0, float(cv2.mean(grey)[0]))


def dominant_color(image: Image) -> str:
    """The most common colour, as `#rrggbb` in sRGB.

    Of pixels on an even grid (at most 128 x 128), each channel is cut into 8 ranges; of the 512
    boxes the fullest wins, and the mean of its pixels is the answer. Pixels less than half opaque
    do not count; nothing visible gives `#ffffff`.
    """
    size = _within(image, _COLOUR_SIDE)
    sample = cv2.resize(image.pixels, size, interpolation=cv2.INTER_NEAREST_EXACT)
    colours = sample.reshape(-1, sample.shape[2])
    if image.has_alpha:
        colours = colours[colours[:, BGR] >= _VISIBLE_ALPHA]
    if not len(colours):
        return "#ffffff"
    row = np.ascontiguousarray(colours[:, :BGR]).reshape(1, -1, BGR)
    every = [0, 1, 2]
    counts = cv2.calcHist([row], every, None, [_COLOUR_BINS] * BGR, [0, 256] * BGR)
    fullest = np.array(np.unravel_index(int(counts.argmax()), counts.shape))
    lowest = fullest * (256 // _COLOUR_BINS)
    inside = cv2.inRange(row, lowest, lowest + 256 // _COLOUR_BINS - 1)
    blue, green, red = (round(each) for each in cv2.mean(row, inside)[:BGR])
    return f"#{red:02x}{green:02x}{blue:02x}"


def phash(grey: Pixels) -> int:
    """64-bit perceptual hash as a signed integer: look-alikes differ in few bits.

    Luma at 32 x 32, type-II DCT, the 8 x 8 lowest frequencies, a bit each for "above their
    median"; row by row, the highest bit first. The bits of Python's `imagehash.phash` but for its
    way to scale down. Distance: `bit_count(xor(a, b))`; up to about 10 of 64 is a look-alike.
    """
    halved = _halved(grey, _PHASH_SIDE, _PHASH_SIDE)
    small = cv2.resize(halved, (_PHASH_SIDE, _PHASH_SIDE), interpolation=cv2.INTER_AREA)
    lowest = _unscaled_dct(small.astype(np.float32))[:_PHASH_BITS, :_PHASH_BITS]
    bits = np.packbits(lowest > np.median(lowest)).tobytes()
    return int.from_bytes(bits, "big", signed=True)


def _unscaled_dct(values: NDArray[np.float32]) -> NDArray[np.float32]:
    # OpenCV's DCT is orthonormal; the plain one weighs the first row and column by root 2 more.
    frequencies = cv2.dct(values).astype(np.float32, copy=False)
    frequencies[0, :] *= np.sqrt(2)
    frequencies[:, 0] *= np.sqrt(2)
    return frequencies


def _reduced_luma(image: Image) -> Pixels:
    size = _within(image, MEASURED_SIDE)
    if image.has_alpha:
        return _luma(image.resized(*size).on_white().pixels)
    grey = _halved(_luma(image.pixels), *size)
    # Bit for bit the same on every machine, at a fifth of the time of area averaging.
    return cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR_EXACT).astype(np.uint8, copy=False)


def _halved(grey: Pixels, width: int, height: int) -> Pixels:
    """As often as that leaves at least so many pixels a side; of an odd side the last one goes."""
    while grey.shape[1] >= 2 * width and grey.shape[0] >= 2 * height:
        rows, columns = grey.shape[0] // 2, grey.shape[1] // 2
        even = grey[: 2 * rows, : 2 * columns]
        halved = cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA)
        grey = halved.astype(np.uint8, copy=False)
    return grey


def _luma(pixels: Pixels) -> Pixels:
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)


def _within(image: Image, side: int) -> tuple[int, int]:
    """Width and height of `image`, reduced to a longer side of at most `side`."""
    scale = min(1.0, side / max(image.width, image.height))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))
