"""Measures: what the pixels of an image say, as numbers that SQL can filter and compare.

Those of luma are taken from a copy that is reduced so that its longer side is at most 1,024
pixels (halved by averaging as long as that leaves more, then bilinear; never enlarged), with alpha
over white. All depend on the image's bytes alone, never on the preset, so rows of different
presets compare. They run for every image, so each is written for OpenCV's vectorised paths: the
plain way, with area averaging and NumPy, took as long as decoding.
"""

import base64

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.codes import find_codes
from processors.image import Image, Pixels
from processors.job import Measures
from processors.palette import Palette, within

MEASURED_SIDE = 1024
"""Longer side, in pixels, of the copy that is measured: shows focus, and costs a few ms."""

_TONES = 256
_ROWS_APART = 4
_SHADOW, _HIGHLIGHT = 2, 253
# Second derivative along a row; along both, edges that run straight drop out and noise stays.
_CURVE = np.array([1, -2, 1], np.float32)
_PHASH_SIDE = 32
_PHASH_BITS = 8


def measure(image: Image, *, codes: bool = False) -> Measures:
    """All measures of an image that is oriented and in sRGB; `codes`: read QR and bar codes."""
    grey = _reduced_luma(image)
    tones = Tones(grey)
    palette = Palette(image)
    return Measures(
        sharpness=sharpness(grey),
        brightness=tones.brightness,
        contrast=tones.contrast,
        entropy=tones.entropy,
        clipped_shadows=tones.shadows,
        clipped_highlights=tones.highlights,
        noise=noise(grey),
        dominant_color=palette.dominant_color(),
        dominant_colors=palette.dominant_colors(),
        colorfulness=palette.colorfulness(),
        thumbhash=base64.b64encode(palette.thumbhash()).decode(),
        phash=phash(grey),
        codes=find_codes(grey) if codes else None,
    )


class Tones:
    """What the spread of a luma says.

    `brightness` is its mean, 0 (black) to 255 (white); `contrast` its standard deviation, 0 to
    127.5 (RMS contrast: Peli, "Contrast in complex images", JOSA A 7, 1990). By the histogram of
    every fourth row: `entropy` is Shannon's, 0 to 8 bits; `shadows` and `highlights` are the
    fractions of pixels of at most 2 and at least 253, where a JPEG's black and white end up.
    """

    def __init__(self, grey: Pixels) -> None:
        mean, deviation = cv2.meanStdDev(grey)
        # OpenCV sums first and multiplies by 1/n: white comes out a hair above 255.
        self.brightness = min(255.0, float(mean[0, 0]))
        self.contrast = min(127.5, float(deviation[0, 0]))
        counts = cv2.calcHist([grey[::_ROWS_APART]], [0], None, [_TONES], [0, _TONES]).ravel()
        share = counts.astype(np.float64) / float(counts.sum())
        seen = share[share > 0]
        # Not a dot product: its last digit depends on the number of threads.
        self.entropy = min(8.0, max(0.0, -float((seen * np.log2(seen)).sum())))
        self.shadows = min(1.0, float(share[: _SHADOW + 1].sum()))
        self.highlights = min(1.0, float(share[_HIGHLIGHT:].sum()))


def sharpness(grey: Pixels) -> float:
    """Variance of the Laplacian (3 x 3, 4 neighbours) of the luma, in squared luma steps, >= 0.

    A blurred photograph is below about 100, a sharp one in the hundreds or thousands; noise and
    texture count as sharpness. Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy", ICPR 2000.
    """
    edges = cv2.Laplacian(grey, cv2.CV_16S)
    # cv2.meanStdDev has no vectorised path for 16 bits, these two have.
    return max(0.0, cv2.norm(edges, cv2.NORM_L2SQR) / edges.size - cv2.mean(edges)[0] ** 2)


def noise(grey: Pixels) -> float:
    """Standard deviation of the noise in luma steps, >= 0; 0 for less than 3 x 3 pixels.

    The mean of |(1 -2 1) x (1 -2 1)| over the inner pixels, by sqrt(pi/2) / 6. Fine texture
    counts as noise. Immerkaer, "Fast noise variance estimation", CVIU 64, 1996.
    """
    if min(grey.shape) < len(_CURVE):
        return 0.0
    curved = cv2.sepFilter2D(grey, cv2.CV_16S, _CURVE, _CURVE)[1:-1, 1:-1]
    return float(np.sqrt(np.pi / 2) / 6 * cv2.norm(curved, cv2.NORM_L1) / curved.size)


def phash(grey: Pixels) -> int:
    """64-bit perceptual hash as a signed integer: look-alikes differ in few bits.

    Luma at 32 x 32, type-II DCT, the 8 x 8 lowest frequencies, a bit each for "above their
    median"; row by row, the highest bit first. The bits of Python's `imagehash.phash` but for its
    way to scale down. Distance: `bit_count(xor(a, b))`; up to about 10 of 64 is a look-alike.
    """
    halved = _halved(grey, _PHASH_SIDE, _PHASH_SIDE)
    small = cv2.resize(halved, (_PHASH_SIDE, _PHASH_SIDE), interpolation=cv2.INTER_AREA)
    lowest = _unscaled_dct(small.astype(np.float32))[:_PHASH_BITS, :_PHASH_BITS]
    ordered = np.sort(lowest, axis=None)
    half = ordered.size // 2
    median = (ordered[half - 1] + ordered[half]) / 2  # np.median takes ten times as long
    bits = np.packbits(lowest > median).tobytes()
    return int.from_bytes(bits, "big", signed=True)


def _unscaled_dct(values: NDArray[np.float32]) -> NDArray[np.float32]:
    # OpenCV's DCT is orthonormal; the plain one weighs the first row and column by root 2 more.
    frequencies = cv2.dct(values).astype(np.float32, copy=False)
    frequencies[0, :] *= np.sqrt(2)
    frequencies[:, 0] *= np.sqrt(2)
    return frequencies


def _reduced_luma(image: Image) -> Pixels:
    size = within(image, MEASURED_SIDE)
    if image.has_alpha:
        return _luma(image.resized(*size).on_white().pixels)
    grey = _halved(_luma(image.pixels), *size)
    if grey.shape == size[::-1]:
        return grey
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
