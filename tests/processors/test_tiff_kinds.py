"""TIFF by kind: YCbCr, Lab, alpha, pages, and what is refused by name."""

import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from processors.errors import Refused, TooManyFrames, Truncated, UnsupportedFormat
from processors.settings import Limits
from tests.made.tiff import Page, tiff
from tests.photos import scene
from tests.processors.test_tiff_layouts import header_of, mean_difference, shown

PHOTO = scene(width=96, height=64)
RGB = np.asarray(PHOTO)


def page(numbers: NDArray[Any], bits: int = 8, photometric: int = 2, **more: object) -> Page:
    whole = np.asarray(numbers, np.uint16)
    return Page(whole, bits, photometric, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("sampling", [(1, 1), (2, 1), (1, 2), (2, 2), (4, 2), (4, 4)])
@pytest.mark.parametrize("compression", [1, 5, 8])
@pytest.mark.parametrize("tile", [None, (32, 16)])
def test_ycbcr_blocks(
    sampling: tuple[int, int], compression: int, tile: tuple[int, int] | None
) -> None:
    smooth = np.asarray(PHOTO.resize((12, 8)).resize((95, 61), Image.Resampling.BICUBIC))
    numbers = np.asarray(Image.fromarray(smooth).convert("YCbCr"))
    made = page(numbers, photometric=6, compression=compression, tile=tile, rows_per_strip=16)
    made.tags[530] = (3, sampling)
    assert mean_difference(shown(tiff(made)), smooth) < 4


def test_ycbcr_of_a_smaller_range() -> None:
    numbers = np.array([[(16, 128, 128), (235, 128, 128)]], np.uint8)
    made = page(numbers, photometric=6)
    made.tags[530] = (3, (1, 1))
    pairs = (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1)
    made.tags[532] = (5, pairs)
    assert shown(tiff(made))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("photometric", [8, 9])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_lab(photometric: int, bits: int, *, alpha: bool) -> None:
    zero = 0 if photometric == 8 else 1 << (bits - 1)
    half = 128 << (bits - 8)
    pixel = [half, zero, zero] + [0] * alpha
    seen = [half, zero, zero] + [2**bits - 1] * alpha
    made = page(np.array([[pixel, seen]]), bits, photometric)
    made.tags.update({338: (3, (2,))} if alpha else {})
    found = shown(tiff(made))[0]
    assert np.abs(found[1] - (119, 119, 119, 255)).max() < 2
    assert found[0, 3] == (0 if alpha else 255)


def test_alpha_that_nothing_says_is_one() -> None:
    rgba = np.dstack([RGB, np.full((64, 96), 90)])
    assert shown(tiff(page(rgba)))[0, 0, 3] == 90
    unspecified = page(rgba)
    unspecified.tags[338] = (3, (0,))
    assert shown(tiff(unspecified))[0, 0, 3] == 255
    empty = page(np.dstack([RGB, np.zeros((64, 96))]))
    assert mean_difference(shown(tiff(empty)), RGB) == 0
    assert shown(tiff(empty))[0, 0, 3] == 255


def test_more_samples_than_alpha_are_left_away() -> None:
    spots = np.dstack([RGB, np.full((64, 96), 7), np.full((64, 96), 90), RGB])
    made = page(spots)
    made.tags[338] = (3, (0, 2, 0, 0, 0))
    found = shown(tiff(made))
    assert mean_difference(found, RGB) == 0
    assert found[0, 0, 3] == 90


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    made = page(RGB)
    made.tags[274] = (3, (orientation,))
    image = Image.fromarray(RGB)
    exif = image.getexif()
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    turned = image.transpose(Image.Transpose(turns[orientation])) if orientation > 1 else image
    assert not exif
    assert mean_difference(shown(tiff(made)), np.asarray(turned)) == 0


def named(**tags: tuple[int, tuple[int, ...]]) -> dict[int, tuple[int, tuple[int, ...]]]:
    return {int(tag.removeprefix("t")): value for tag, value in tags.items()}


@pytest.mark.parametrize(
    ("tags", "bits", "name"),
    [
        (named(t339=(3, (2, 2, 2))), 8, "signed samples"),
        (named(t339=(3, (2, 2, 2))), 16, "signed samples"),
        (named(t339=(3, (3, 3, 3))), 16, "float samples"),
        (named(t339=(3, (3, 3, 3)), t258=(3, (32, 32, 32))), 8, "float samples"),
        (named(t339=(3, (3, 3, 3)), t258=(3, (64, 64, 64))), 8, "float samples"),
        (named(t339=(3, (1, 1, 3))), 16, "float samples"),
        (named(t339=(3, (6, 6, 6)), t258=(3, (64, 64, 64))), 8, "complex samples of float numbers"),
        (named(t258=(3, (32, 32, 32))), 8, "32-bit samples"),
        (named(t258=(3, (24, 24, 24))), 8, "24-bit samples"),
        (named(t258=(3, (5, 6, 5))), 8, "samples of different bits (5, 6, 5)"),
        (named(t262=(3, (4,))), 8, "a transparency mask"),
        (named(t262=(3, (10,))), 8, "ITU Lab"),
        (named(t262=(3, (32844,))), 8, "LogL"),
        (named(t262=(3, (32845,))), 8, "LogLuv"),
        (named(t262=(3, (777,))), 8, "photometric interpretation 777"),
        (named(t262=(3, (5,)), t332=(3, (2,)), t277=(3, (4,))), 8, "inks other than CMYK"),
        (named(t259=(3, (34712,))), 8, "JPEG 2000"),
        (named(t259=(3, (33003,))), 8, "JPEG 2000"),
        (named(t259=(3, (34887,))), 8, "LERC"),
        (named(t259=(3, (34676,))), 8, "LogLuv"),
        (named(t259=(3, (34661,))), 8, "JBIG"),
        (named(t259=(3, (50002,))), 8, "JPEG XL"),
        (named(t259=(3, (32809,))), 8, "ThunderScan compression"),
        (named(t259=(3, (12345,))), 8, "compression 12345"),
        (named(t259=(3, (7,)), t258=(3, (12, 12, 12))), 8, "12-bit jpeg"),
        (named(t259=(3, (8,)), t317=(3, (3,))), 16, "predictor 3 of 16 bits"),
        (named(t259=(3, (32773,)), t317=(3, (2,))), 8, "a predictor of PackBits"),
        (named(t277=(3, (200,))), 8, "200 samples a pixel"),
    ],
)
def test_what_is_not_read_is_named(
    tags: dict[int, tuple[int, tuple[int, ...]]], bits: int, name: str
) -> None:
    made = page(RGB, bits)
    made.tags.update(tags)
    with pytest.raises(UnsupportedFormat) as refused:
        header_of(tiff(made))
    assert refused.value.value == f"{name} TIFF"


def test_pages_are_counted_and_cost_nothing() -> None:
    small = page(np.zeros((1, 1, 1)), photometric=1)
    assert header_of(tiff(*[small] * 60), Limits(max_pixels=10)).frames == 60
    assert header_of(tiff(*[small] * 60, big=True)).frames == 60
    assert header_of(tiff(*[small] * 10_000)).frames == 10_000
    with pytest.raises(TooManyFrames) as refused:
        header_of(tiff(*[small] * 10_001))
    assert (refused.value.code, refused.value.limit) == ("too_many_frames", 10_000)


@pytest.mark.parametrize("link", ["itself", "outside"])
def test_a_chain_of_pages_that_leads_nowhere_ends(link: str) -> None:
    data = bytearray(tiff(page(np.zeros((2, 2, 1)), photometric=1)))
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    target = directory if link == "itself" else len(data) + 100
    struct.pack_into("<I", data, directory + 2 + 12 * entries, target)
    assert header_of(bytes(data)).frames == 1


def test_tiles_that_hold_far_more_than_the_picture_are_refused() -> None:
    made = page(np.zeros((1, 1, 1)), photometric=1)
    made.tags.update({322: (4, (60_000,)), 323: (4, (60_000,)), 324: (4, (8,)), 325: (4, (1,))})
    with pytest.raises(Refused) as refused:
        header_of(tiff(made))
    assert refused.value.code == "too_many_pixels"


def test_fewer_strips_than_rows_need_is_truncated() -> None:
    made = page(RGB, rows_per_strip=64)
    made.tags[278] = (3, (16,))
    with pytest.raises(Truncated):
        header_of(tiff(made))
