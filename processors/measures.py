"""Measures: what the pixels of an image say, as numbers that SQL can filter and compare.

Those of luma are taken from a copy that is reduced so that its longer side is at most 1,024
pixels (halved by averaging as long as that leaves more, then bilinear; never enlarged), with alpha
over white; sharpness and the hash from half of that. All depend on the image's bytes alone, never
on the preset, so rows of different presets compare. They run for every image, so each is written
for OpenCV's vectorised paths and for few calls: in a child whose caches the codecs have just been
through, the first calls of a function cost as much as its work on a small photograph.
"""

import base64
import math

import cv2
import numpy as np

from processors.codes import find_codes
from processors.faces import find_faces
from processors.image import WHITE, Image, Pixels, within
from processors.job import Measures
from processors.palette import Palette

MEASURED_SIDE = 1024
"""Longer side, in pixels, of the copy that is measured: shows focus, and costs a few ms."""

_TONES = 256
_ROWS_APART = 8
_SHADOW, _HIGHLIGHT = 2, 253
# Second derivative along a row; along both, edges that run straight drop out and noise stays.
_CURVE = np.array([1, -2, 1], np.float32)
_BAND_ROWS, _BANDS_APART = 8, 32
_PHASH_SIDE = 32
_PHASH_BITS = 8
# Whole numbers, for sums of them are exact: the same bits on every machine, even of a flat image.
_COSINES = np.rint(
    2**15 * np.cos(np.outer(np.arange(_PHASH_BITS), np.arange(_PHASH_SIDE) + 0.5) * np.pi / 32)
)
_COSINES_DOWN = np.ascontiguousarray(_COSINES.T)


def measure(image: Image, *, codes: bool = False, faces: bool = False) -> Measures:
    """All measures of an image that is oriented and in sRGB.

    `codes`: read QR and bar codes; `faces`: count faces. Raises cv2.error.
    """
    # First, for it reads here and there; what luma reads, in order, the next ones find in a cache.
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
    """What the spread of a luma says.

    `brightness` is its mean, 0 (black) to 255 (white); `contrast` its standard deviation, 0 to
    127.5 (RMS contrast: Peli, "Contrast in complex images", JOSA A 7, 1990). By the histogram of
    every eighth row: `entropy` is Shannon's, 0 to 8 bits; `shadows` and `highlights` are the
    fractions of pixels of at most 2 and at least 253, where a JPEG's black and white end up.
    """

    def __init__(self, grey: Pixels) -> None:
        mean, deviation = cv2.meanStdDev(grey)
        # OpenCV sums first and multiplies by 1/n: white comes out a hair above 255.
        self.brightness = min(255.0, float(mean[0, 0]))
        self.contrast = min(127.5, float(deviation[0, 0]))
        rows = grey[::_ROWS_APART]
        counts = cv2.calcHist([rows], [0], None, [_TONES], [0, _TONES]).ravel().astype(np.float64)
        # Not a dot product: its last digit depends on the number of threads.
        known = float(np.add.reduce(counts * np.log2(np.maximum(counts, 1))))
        self.entropy = min(8.0, max(0.0, math.log2(rows.size) - known / rows.size))
        self.shadows = sum(counts[: _SHADOW + 1].tolist()) / rows.size
        self.highlights = sum(counts[_HIGHLIGHT:].tolist()) / rows.size


def sharpness(grey: Pixels) -> float:
    """Variance of the Laplacian (3 x 3, 4 neighbours) of the luma, in squared luma steps, >= 0.

    Of the measured copy's half, 512 pixels at most: there a blurred photograph is below about 100,
    a sharp one in the hundreds or thousands; texture counts as sharpness. Pech-Pacheco et al.,
    "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    # With edges repeated, each difference is in the sum with both signs: the mean is 0.
    edges = cv2.Laplacian(grey, cv2.CV_16S, borderType=cv2.BORDER_REPLICATE)
    return cv2.norm(edges, cv2.NORM_L2SQR) / edges.size


def noise(grey: Pixels) -> float:
    """Standard deviation of the noise in luma steps, >= 0; 0 for less than 3 x 3 pixels.

    The mean of |(1 -2 1) x (1 -2 1)| over the inner pixels, by sqrt(pi/2) / 6; of 8 rows in 32
    where there are that many. Fine texture counts as noise. Immerkaer, "Fast noise variance
    estimation", CVIU 64, 1996.
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
    """64-bit perceptual hash as a signed integer: look-alikes differ in few bits.

    Luma at 32 x 32, type-II DCT, the 8 x 8 lowest frequencies, a bit each for "above their
    median"; row by row, the highest bit first. The bits of Python's `imagehash.phash` but for its
    way to scale down. Distance: `bit_count(xor(a, b))`; up to about 10 of 64 is a look-alike.
    """
    halved = _halved(grey, _PHASH_SIDE, _PHASH_SIDE)
    small = cv2.resize(halved, (_PHASH_SIDE, _PHASH_SIDE), interpolation=cv2.INTER_AREA)
    lowest = (_COSINES @ small @ _COSINES_DOWN).ravel()
    ordered = sorted(lowest.tolist())
    half = len(ordered) // 2
    median = (ordered[half - 1] + ordered[half]) / 2  # np.median takes ten times as long
    return int.from_bytes(np.packbits(lowest > median).tobytes(), "big", signed=True)


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
        grey = _half(grey)
    return grey


def _half(grey: Pixels) -> Pixels:
    """Means of 2 x 2 pixels; of an odd side the last one goes, a side of one stays."""
    rows, columns = max(1, grey.shape[0] // 2), max(1, grey.shape[1] // 2)
    even = grey[: 2 * rows, : 2 * columns]
    halved = cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA)
    return halved.astype(np.uint8, copy=False)


def _luma(pixels: Pixels) -> Pixels:
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
