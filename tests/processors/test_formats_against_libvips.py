"""JPEG, PNG, WebP, GIF and AVIF of the corpora, compared with libvips, which only tests use.

On middle grey the mean difference of a sample may be 2 at most, because other conversions of
colours and chroma differ that much. HEIC is not compared: the wheel of libvips has no decoder.
"""

import numpy as np
import pytest
import pyvips

from processors.codecs.codec import decode
from processors.codecs.formats import AVIF, GIF, JPEG, PNG, WEBP, Format, sniff
from processors.codecs.header_readers import read_header
from processors.errors import Refused
from processors.settings import Limits
from tests.corpora import PILLOW, PILLOW_HEIF, files_of
from tests.processors.reference import on_grey
from tests.processors.test_against_libvips import AVERAGE, by_libvips

pytestmark = pytest.mark.timeout(300)
FORMATS = {JPEG, PNG, WEBP, GIF, AVIF}
# Larger files would take longer than all others together.
LIMITS = Limits(max_pixels=500_000)
OTHERWISE = {
    # libvips ignores EXIF in PNG text, and gamma.
    "exif_imagemagick_orientation.png",
    "pil123p.png",
    "pil123rgba.png",
    # For CMYK without a profile, libvips assumes the inks of one press; the product uses the
    # plain formula.
    "pil_sample_cmyk.jpg",
}


def mean_difference(name: str, data: bytes, found: Format) -> float | None:
    """Mean difference from libvips; None if the file is large, or one decoder cannot decode it."""
    try:
        pixels = decode(read_header(data, found, LIMITS)).pixels
        right = by_libvips(data)
    except (Refused, pyvips.Error):
        return None
    shown = np.full((*pixels.shape[:2], 4), 255, np.uint8)
    shown[:, :, : pixels.shape[2]] = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    if name in OTHERWISE and shown.shape != right.shape:
        return np.inf
    assert shown.shape == right.shape, name
    return float(np.abs(on_grey(shown) - on_grey(right)).mean())


def test_files_of_the_corpora_look_the_same() -> None:
    alike, other = dict.fromkeys((each.name for each in FORMATS), 0), set()
    for name, data in {**files_of(PILLOW), **files_of(PILLOW_HEIF)}.items():
        try:
            found = sniff(data[:1024])
        except Refused:
            continue
        difference = mean_difference(name, data, found) if found in FORMATS else None
        if difference is not None:
            alike[found.name] += difference <= AVERAGE
            if difference > AVERAGE:
                other.add(name)
    assert other == OTHERWISE
    assert alike["jpeg"] > 50
    assert alike["png"] > 100
    assert min(alike["webp"], alike["gif"], alike["avif"]) > 10
