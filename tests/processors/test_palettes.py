"""Palettes whose values have 8 bits; icons, which contain images and are refused."""

import io
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from processors.codecs.formats import check_bytes, sniff
from processors.errors import NotAnImage, UnsupportedFormat
from processors.settings import Limits
from tests.made.bmp import CORE, bmp
from tests.made.png import chunk, png
from tests.made.tiff import Page, tiff
from tests.processors.test_tiff_layouts import shown

# No greys and no colours of only 0 and 255, so that a wrong scale shows.
COLOURS = np.array([[200, 10, 30], [20, 180, 60], [40, 70, 220], [240, 230, 90]])


def indices(bits: int) -> NDArray[np.int64]:
    across, down = np.meshgrid(np.arange(19), np.arange(11))
    return np.asarray((across + 2 * down) % min(2**bits, len(COLOURS)), np.int64)


def right(bits: int) -> NDArray[np.int64]:
    return COLOURS[indices(bits)]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("scale", [1, 257], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff(bits: int, scale: int, order: Literal["<", ">"]) -> None:
    """Colour maps with values up to 255 instead of 65,535; libtiff takes them for 8 bits."""
    values = np.zeros((3, 2**bits), np.int64)
    values[:, : len(COLOURS)] = COLOURS[: 2**bits].T * scale
    page = Page(indices(bits)[:, :, np.newaxis].astype(np.uint16), bits, 3)
    page.tags[320] = (3, tuple(values.ravel().tolist()))
    assert np.abs(shown(tiff(page, order=order))[:, :, :3] - right(bits)).max() <= 1


def test_a_dark_map_of_16_bits_is_not_taken_for_one_of_8() -> None:
    """Colour map with one value above 255, so all its values have 16 bits."""
    values = np.zeros((3, 256), np.int64)
    values[0, 1], values[0, 2] = 256, 255
    page = Page(np.array([[[1], [2]]], np.uint16), 8, 3)
    page.tags[320] = (3, tuple(values.ravel().tolist()))
    assert shown(tiff(page))[0, :, 0].max() <= 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("interlaced", [False, True])
def test_png(bits: int, *, interlaced: bool) -> None:
    """Palettes of full length, and palettes of only the colours that are used."""
    samples = indices(bits)[:, :, np.newaxis].astype(np.uint16)
    for length in (2**bits, len(COLOURS[: 2**bits])):
        table = np.zeros((length, 3), np.uint8)
        table[: len(COLOURS)] = COLOURS[:length]
        data = png(samples, 3, bits, chunk(b"PLTE", table.tobytes()), interlaced=interlaced)
        assert np.array_equal(shown(data)[:, :, :3], right(bits))


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("header", [CORE, 40, 124])
def test_bmp(bits: int, header: int) -> None:
    """Palettes with entries of three bytes in OS/2's header, of four bytes in the others."""
    table = np.zeros((2**bits, 3), np.int64)
    table[: len(COLOURS)] = COLOURS[: 2**bits]
    data = bmp(indices(bits).astype(np.uint32), bits, header=header, palette=table)
    assert np.array_equal(shown(data)[:, :, :3], right(bits))


@pytest.mark.parametrize("inside", ["png", "bmp"])
@pytest.mark.parametrize("sizes", [[16], [16, 32, 48, 256]], ids=str)
def test_icons_are_refused_by_name(inside: str, sizes: list[int]) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (256, 256), (200, 10, 30, 128)).save(
        out, "ICO", sizes=[(each, each) for each in sizes], bitmap_format=inside
    )
    for kind, name in ((1, "ICO"), (2, "CUR")):
        data = bytearray(out.getvalue())
        data[2] = kind
        with pytest.raises(UnsupportedFormat) as refused:
            check_bytes(memoryview(data), Limits())
        assert refused.value.value == name


def test_what_starts_as_an_icon_does_and_is_none() -> None:
    """Files that begin with zeros like an icon, but without the type number of an icon."""
    for other in (b"\0\0\0\0", b"\0\0\3\0", b"\0\1\0\0"):
        with pytest.raises(NotAnImage):
            sniff(other + bytes(60))
