"""TIFF compared with libvips, which the product does not use: corpus files, generated layouts.

Both decoders have to show the same. On middle grey the mean difference of a corpus file may be 2 at
most, because colour conversions by other tables differ that much. No sample of a generated layout
may differ by more than 2. libvips opens files that the product refuses, and cannot open some
layouts; the lists below name the files.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray

from processors.codecs.formats import TIFF, sniff
from processors.errors import Refused
from tests.corpora import PILLOW, files_of
from tests.processors.reference import on_grey
from tests.processors.test_tiff_layouts import cases, shown

pytestmark = pytest.mark.timeout(300)
AVERAGE, ANYWHERE = 2.0, 2.0
# Faxes of 8 and 15 megapixels, which take longer than all other files together.
LARGE = {"g4-multi.tiff", "pport_g4.tif"}


def by_libvips(data: bytes) -> NDArray[np.float64]:
    """First page as decoded by libvips: RGBA, 8 bits a sample."""
    image: Any = pyvips.Image.new_from_buffer(data, "", fail_on="truncated").autorot()
    if "icc-profile-data" in image.get_fields():
        image = image.icc_transform("srgb", intent="relative", black_point_compensation=False)
    image = image.colourspace("srgb").cast("uchar")
    image = image if image.hasalpha() else image.bandjoin(255)
    pixels: NDArray[np.float64] = np.asarray(image.numpy(), np.float64)[:, :, [0, 1, 2, -1]]
    return pixels


def tiff_files() -> Iterator[tuple[str, bytes]]:
    for name, data in files_of(PILLOW).items():
        try:
            found = sniff(data[:1024])
        except Refused:
            continue
        if found is TIFF and name not in LARGE:
            yield name, data


# The libvips used here has no decoder for this compression, and returns black without an error.
NO_DECODER_THERE = {"hopper_lzma.tif"}
# For CMYK without a profile, libvips assumes the inks of one press; the product uses the plain
# formula.
INKS = {"tiff_strip_cmyk_16l_jpeg.tif", "tiff_strip_cmyk_jpeg.tif", "tiff_tiled_cmyk_jpeg.tif"}
OPENED_THERE_ALONE = {
    # Signed samples, which libvips shifts.
    "16_bit_binary_pgm.tiff",
    "16bit.s.tif",
    "8bit.s.tif",
    "separate_planar_extra_samples.tiff",
    # 32 bits a sample.
    "hopper_unknown_pixel_mode.tif",
    # The directory gives a strip fewer rows than the strip has.
    "tiff_overflow_rows_per_strip.tif",
}
COMPARED_LAYOUTS = ("1 ", "5 ", "8 ", "32773 ", "32946 ", "fax", "big")


def differs(data: bytes, right: NDArray[np.float64]) -> NDArray[np.float64]:
    found = shown(data)
    assert found.shape == right.shape
    return np.asarray(np.abs(on_grey(found) - on_grey(right)), np.float64)


def test_files_of_the_corpora_look_the_same() -> None:
    alike, other, refused = 0, set(), set()
    for name, data in tiff_files():
        try:
            right = by_libvips(data)
        except pyvips.Error:
            continue
        try:
            difference = differs(data, right).mean()
        except Refused:
            refused.add(name)
            continue
        alike += difference <= AVERAGE
        if difference > AVERAGE:
            other.add(name)
    assert other == INKS | NO_DECODER_THERE
    assert refused == OPENED_THERE_ALONE
    assert alike > 60


def test_layouts_look_the_same() -> None:
    alike, other = 0, []
    for each in cases():
        chunky = each.name.startswith(("rgb", "grey")) and "chunky" in each.name
        if not chunky and not each.name.startswith(COMPARED_LAYOUTS):
            continue
        try:
            right = by_libvips(each.data)
        except pyvips.Error:
            continue
        if differs(each.data, right).max() > ANYWHERE:
            other.append(each.name)
        alike += 1
    assert other == []
    assert alike > 250
