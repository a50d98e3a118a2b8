"""Measures of an image's pixels, as numbers that SQL can filter and compare.

Measures of luma use a copy whose longer side is at most 1,024 pixels, composited over white. The
copy is halved by averaging while it stays larger than that, then scaled bilinearly, and never
enlarged. Sharpness and hash use half of that size. All measures depend only on the image's bytes
and never on the preset, so rows of different presets are comparable. All measures run for every
image, so the code uses OpenCV's vectorised paths and few calls: after a codec has filled the
processor's caches, a function's first call costs as much as its work on a small photograph.
"""

import base64
import math

import cv2
import numpy as np

from processors.faces import find_faces
from processors.image import WHITE, Image, Pixels, within
from processors.job import Measures
from processors.measures.codes import find_codes
from processors.measures.palette import Palette

MEASURED_SIDE = 1024
"""Longer side of the measured copy in pixels: enough to show focus, and measured in a few ms."""

_TONES = 256
_ROWS_APART = 8
_SHADOW, _HIGHLIGHT = 2, 253
# Second derivative; along rows and then columns, this filter removes straight edges, not noise.
_CURVE = np.array([1, -2, 1], np.float32)
_BAND_ROWS, _BANDS_APART = 8, 32
_PHASH_SIDE = 32
_PHASH_BITS = 8
# Whole numbers have exact sums, so a hash has the same bits on every machine, also of a flat image.
_COSINES = np.rint(
    2**15 * np.cos(np.outer(np.arange(_PHASH_BITS), np.arange(_PHASH_SIDE) + 0.5) * np.pi / 32)
)
_COSINES_DOWN = np.ascontiguousarray(_COSINES.T)


def measure(image: Image, *, codes: bool = False, faces: bool = False) -> Measures:
    """Compute all measures of an upright image in sRGB.

    `codes`: read QR and bar codes; `faces`: count faces. Raises cv2.error.
    """
    # The palette comes first, because it reads scattered pixels. Luma reads all pixels in order and
    # leaves its result in a cache for the measures that follow.
    palette = Palette(image)
    colors = palette.dominant_colors()
    grey = _reduced_luma(image)
    half = _half(grey)
    tones = Tones(grey)
    return Measures(
        sharpness=sharpness(half),
        brightness=tones.brightness,
        contrast=tones.contrast,
        entropy=tones.entropy,
        clipped_shadows=tones.shadows,
        clipped_highlights=tones.highlights,
        noise=noise(grey),
        dominant_color=colors[0].color if colors else WHITE,
        dominant_colors=colors,
        colorfulness=palette.colorfulness(),
        thumbhash=base64.b64encode(palette.thumbhash()).decode(),
        phash=phash(half),
        codes=find_codes(grey) if codes else None,
        faces=len(find_faces(image)) if faces else None,
    )


class Tones:
    """Measures of the distribution of a luma.

    `brightness` is the mean, 0 (black) to 255 (white). `contrast` is the standard deviation, 0 to
    127.5 (RMS contrast: Peli, "Contrast in complex images", JOSA A 7, 1990). The others come from
    the histogram of every eighth row: `entropy` is Shannon's, 0 to 8 bits; `shadows` and
    `highlights` are the fractions of pixels of at most 2 and of at least 253, the ranges that
    contain black and white after JPEG coding.
    """

    def __init__(self, grey: Pixels) -> None:
        mean, deviation = cv2.meanStdDev(grey)
        # OpenCV multiplies the sum by 1/n, so the mean of white can be slightly above 255.
        self.brightness = min(255.0, float(mean[0, 0]))
        self.contrast = min(127.5, float(deviation[0, 0]))
        rows = grey[::_ROWS_APART]
        counts = cv2.calcHist([rows], [0], None, [_TONES], [0, _TONES]).ravel().astype(np.float64)
        # Not a dot product, because its last digit depends on the number of threads.
        known = float(np.add.reduce(counts * np.log2(np.maximum(counts, 1))))
        self.entropy = min(8.0, max(0.0, math.log2(rows.size) - known / rows.size))
        self.shadows = sum(counts[: _SHADOW + 1].tolist()) / rows.size
        self.highlights = sum(counts[_HIGHLIGHT:].tolist()) / rows.size


def sharpness(grey: Pixels) -> float:
    """Variance of the Laplacian (3 x 3, 4 neighbours) of the luma, in squared luma steps, >= 0.

    The luma is the measured copy at half size, at most 512 pixels. A blurred photograph has less
    than about 100, a sharp one hundreds or thousands; texture counts as sharpness. Pech-Pacheco et
    al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    # With repeated edges, the sum contains each difference with both signs, so the mean is 0.
    edges = cv2.Laplacian(grey, cv2.CV_16S, borderType=cv2.BORDER_REPLICATE)
    return cv2.norm(edges, cv2.NORM_L2SQR) / edges.size


def noise(grey: Pixels) -> float:
    """Standard deviation of the noise in luma steps, >= 0; 0 for less than 3 x 3 pixels.

    The estimate is sqrt(pi/2) / 6 times the mean of |(1 -2 1) x (1 -2 1)| over the inner pixels; of
    an image of 32 rows or more, only 8 of each 32 rows count. Fine texture counts as noise.
    Immerkaer, "Fast noise variance estimation", CVIU 64, 1996.
    """
    rows, columns = grey.shape
    if min(rows, columns) < len(_CURVE):
        return 0.0
    bands = max(1, rows // _BANDS_APART)
    high = min(_BAND_ROWS, rows) if rows >= _BANDS_APART else rows
    apart = min(rows, _BANDS_APART)
    picked = grey[: bands * apart].reshape(bands, apart, columns)[:, :high]
    curved = cv2.sepFilter2D(picked.reshape(-1, columns), cv2.CV_16S, _CURVE, _CURVE)
    inner = curved.reshape(bands, high, columns)[:, 1:-1].reshape(-1, columns)[:, 1:-1]
    return float(np.sqrt(np.pi / 2) / 6 * cv2.norm(inner, cv2.NORM_L1) / inner.size)


def phash(grey: Pixels) -> int:
    """64-bit perceptual hash as a signed integer; similar images differ in few bits.

    A type-II DCT of the luma at 32 x 32 gives the 8 x 8 lowest frequencies. Each bit tells whether
    a frequency is above the median; row by row, the highest bit first. The bits are those of
    Python's `imagehash.phash`, which scales down in another way. The distance of two hashes is
    `bit_count(xor(a, b))`; up to about 10 of 64 means similar images.
    """
    halved = _halved(grey, _PHASH_SIDE, _PHASH_SIDE)
    small = cv2.resize(halved, (_PHASH_SIDE, _PHASH_SIDE), interpolation=cv2.INTER_AREA)
    lowest = (_COSINES @ small @ _COSINES_DOWN).ravel()
    ordered = sorted(lowest.tolist())
    half = len(ordered) // 2
    median = (ordered[half - 1] + ordered[half]) / 2  # a tenth of the time of np.median
    return int.from_bytes(np.packbits(lowest > median).tobytes(), "big", signed=True)


def _reduced_luma(image: Image) -> Pixels:
    size = within(image, MEASURED_SIDE)
    if image.has_alpha:
        return _luma(image.resized(*size).on_white().pixels)
    grey = _halved(_luma(image.pixels), *size)
    if grey.shape == size[::-1]:
        return grey
    # This interpolation gives the same bits on every machine, in a fifth of area averaging's time.
    return cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR_EXACT).astype(np.uint8, copy=False)


def _halved(grey: Pixels, width: int, height: int) -> Pixels:
    """Halve while both sides stay at least this long; drops the last pixel of an odd side."""
    while grey.shape[1] >= 2 * width and grey.shape[0] >= 2 * height:
        grey = _half(grey)
    return grey


def _half(grey: Pixels) -> Pixels:
    """Average 2 x 2 pixels; drops the last pixel of an odd side, but keeps a side of 1."""
    rows, columns = max(1, grey.shape[0] // 2), max(1, grey.shape[1] // 2)
    even = grey[: 2 * rows, : 2 * columns]
    halved = cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA)
    return halved.astype(np.uint8, copy=False)


def _luma(pixels: Pixels) -> Pixels:
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
