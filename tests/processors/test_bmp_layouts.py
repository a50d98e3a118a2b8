"""BMP headers, depths, masks and run lengths, each compared with the right colours.

`tests/made/bmp.py` writes the files from numbers. The right colours follow from the formats of
Windows and OS/2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.codecs.formats import sniff
from processors.codecs.header_readers import read_header
from processors.errors import ProcessorError, Truncated, UnsupportedFormat
from processors.settings import Limits
from tests.made.bmp import bmp, runs
from tests.made.icc import matrix_profile
from tests.processors.test_tiff_layouts import shown

WIDTH, HEIGHT = 37, 23
OS2_SIZES = (16, 20, 24, 28, 36, 44, 48, 60, 64)
WINDOWS_SIZES = (40, 52, 56, 108, 124)
PALETTE_BITS = (1, 2, 4, 8)
MASKS: dict[str, tuple[int, tuple[int, int, int, int]]] = {
    "5-6-5": (16, (0xF800, 0x7E0, 0x1F, 0)),
    "5-6-5, blue on top": (16, (0x1F, 0x7E0, 0xF800, 0)),
    "4-4-4": (16, (0xF00, 0xF0, 0xF, 0)),
    "4-4-4-4": (16, (0xF00, 0xF0, 0xF, 0xF000)),
    "5-5-5-1": (16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
    "3-3-2": (16, (0xE0, 0x1C, 3, 0)),
    "8-8-8": (32, (0xFF0000, 0xFF00, 0xFF, 0)),
    "8-8-8-8": (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    "red lowest": (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    "10-10-10": (32, (0x3FF00000, 0xFFC00, 0x3FF, 0)),
    "10-10-10-2": (32, (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000)),
    "11-11-10": (32, (0xFFE00000, 0x1FFC00, 0x3FF, 0)),
}


@dataclass(frozen=True)
class Case:
    """File, and the RGBA that it should show, 0 to 255."""

    name: str
    data: bytes
    right: NDArray[np.float64]


def indices(bits: int) -> NDArray[np.uint32]:
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.asarray((across * 7 + down * 3) % 2**bits, np.uint32)


def palette(bits: int) -> NDArray[np.intp]:
    each = np.arange(2**bits)
    return np.stack([each * 83 % 256, each * 151 % 256, 255 - each * 29 % 256], axis=1)


def opaque(rgb: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.concatenate([rgb, np.full((HEIGHT, WIDTH, 1), 255.0)], axis=2)


def palettes() -> Iterator[Case]:
    sizes = (12, *OS2_SIZES, *WINDOWS_SIZES)
    for header, bits, top_down in product(sizes, PALETTE_BITS, (False, True)):
        if header == 12 and top_down:
            continue  # the height in this header has no sign
        numbers, colours = indices(bits), palette(bits)
        data = bmp(numbers, bits, header=header, palette=colours, top_down=top_down)
        yield Case(f"{header} {bits} bits {top_down}", data, opaque(colours[numbers]))
    for header, bits in product((20, 40, 64, 108, 124), (4, 8)):
        numbers, colours = indices(bits), palette(bits)
        data = bmp(
            numbers,
            bits,
            header=header,
            palette=colours,
            compression=1 if bits == 8 else 2,
            pixels=runs(numbers, bits),
        )
        yield Case(f"{header} runs of {bits} bits", data, opaque(colours[numbers]))


def ramps() -> NDArray[np.float64]:
    """Ramps from 0 to 1 in four channels."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    ramps = [across / (WIDTH - 1), down / (HEIGHT - 1), (across + down) % 7 / 6, across % 5 / 4]
    return np.stack(ramps, axis=2)


def true_colours() -> Iterator[Case]:
    for header, top_down in product((12, *OS2_SIZES, *WINDOWS_SIZES), (False, True)):
        for bits, (red, green, blue) in {
            16: (0x7C00, 0x3E0, 0x1F),
            24: (0xFF0000, 0xFF00, 0xFF),
            32: (0xFF0000, 0xFF00, 0xFF),
        }.items():
            if header == 12 and top_down:
                continue
            numbers, right = masked((red, green, blue, 0))
            data = bmp(numbers, bits, header=header, top_down=top_down)
            yield Case(f"{header} {bits} bits {top_down}", data, right)
    for header, name, top_down in product(WINDOWS_SIZES, MASKS, (False, True)):
        bits, masks = MASKS[name]
        if masks[3] and header == 52:
            continue  # this header has no field for an alpha mask
        number = {40: 6 if masks[3] else 3}.get(header, 3)
        numbers, right = masked(masks)
        kept = masks if masks[3] or header > 52 else masks[:3]
        data = bmp(numbers, bits, header=header, compression=number, masks=kept, top_down=top_down)
        yield Case(f"{header} {name} {top_down}", data, right)


def masked(masks: tuple[int, int, int, int]) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """Numbers that hold the ramps in the bits of `masks`, and the RGBA that they should show."""
    numbers = np.zeros((HEIGHT, WIDTH), np.uint32)
    right = opaque(np.zeros((HEIGHT, WIDTH, 3)))
    for channel, mask in enumerate(masks):
        if not mask:
            continue
        lowest = mask & -mask
        white = mask // lowest
        each = np.rint(ramps()[:, :, channel] * white).astype(np.uint32)
        numbers |= each * np.uint32(lowest)
        right[:, :, channel] = each / white * 255
    return numbers, right


@cache
def cases() -> list[Case]:
    return [*palettes(), *true_colours()]


def test_every_layout_shows_its_colours() -> None:
    assert len(cases()) > 200
    wrong = []
    for each in cases():
        found = shown(each.data)
        if found.shape != each.right.shape or np.abs(found - each.right).max() > 1.01:
            wrong.append(each.name)
    assert wrong == []


@pytest.mark.parametrize("bits", [8, 24])
@pytest.mark.parametrize("missing", [1, 40, 400])
def test_a_file_that_ends_early_is_truncated(bits: int, missing: int) -> None:
    colours = palette(8) if bits == 8 else None
    data = bmp(indices(bits), bits, palette=colours)
    # Padding: rows of 37 bytes end in three bytes of it, rows of 111 bytes in one.
    filling = {8: 3, 24: 1}[bits]
    shown(data[: len(data) - filling])
    with pytest.raises(Truncated):
        shown(data[: len(data) - filling - missing])


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_runs_that_end_early_are_truncated(bits: int, part: float) -> None:
    numbers = indices(bits)
    body = runs(numbers, bits)
    cut = body[: round(len(body) * part)]
    with pytest.raises(Truncated):
        shown(bmp(numbers, bits, palette=palette(bits), compression={8: 1, 4: 2}[bits], pixels=cut))


def test_runs_without_an_end_are_whole() -> None:
    numbers = indices(8)
    body = runs(numbers, 8)[:-4]
    found = shown(bmp(numbers, 8, palette=palette(8), compression=1, pixels=body))
    assert np.abs(found - opaque(palette(8)[numbers])).max() == 0


def test_what_runs_step_over_is_the_first_colour() -> None:
    numbers = indices(8)
    body = bytes((5, 1, 0, 2, 10, 3, 5, 2, 0, 1))
    found = shown(bmp(numbers, 8, palette=palette(8), compression=1, pixels=body))
    assert found[HEIGHT - 1, 4, 0] == palette(8)[1][0]
    assert found[HEIGHT - 1, 5, 0] == palette(8)[0][0]
    assert found[HEIGHT - 4, 15, 0] == palette(8)[2][0]
    assert found[0, 0, 0] == palette(8)[0][0]


@pytest.mark.parametrize("masks", ["8-8-8-8", "4-4-4-4", "5-5-5-1"])
def test_alpha_that_is_nowhere_set_hides_nothing(masks: str) -> None:
    bits, chosen = MASKS[masks]
    numbers, right = masked((*chosen[:3], 0))
    data = bmp(numbers, bits, header=124, compression=3, masks=chosen)
    assert not read_header(data, sniff(data), Limits()).has_alpha
    assert np.abs(shown(data) - right).max() < 1.01


@pytest.mark.parametrize(
    ("header", "bits", "compression", "name"),
    [
        (40, 24, 4, "JPEG"),
        (40, 24, 5, "PNG"),
        (124, 0, 4, "JPEG"),
        (40, 32, 11, "CMYK"),
        (64, 24, 4, "RLE24"),
        (64, 1, 3, "Huffman"),
        (40, 64, 0, "64-bit"),
    ],
)
def test_what_is_not_read_is_named(header: int, bits: int, compression: int, name: str) -> None:
    data = bmp(indices(8), 24, header=header, compression=compression)
    data = data[:28] + bits.to_bytes(2, "little") + data[30:]
    with pytest.raises(UnsupportedFormat) as refused:
        shown(data)
    assert refused.value.value == f"{name} BMP"


@pytest.mark.parametrize("mask", [0xF0F0, 0x1FF00])
def test_masks_that_make_no_number_are_refused(mask: int) -> None:
    data = bmp(indices(8), 16, compression=3, masks=(mask, 0xF0, 0xF))
    with pytest.raises(ProcessorError) as refused:
        shown(data)
    assert refused.value.code == "undecodable"


def test_an_embedded_profile_is_honoured() -> None:
    linear = matrix_profile("linear", 1.0)
    numbers, _ = masked((0xFF0000, 0xFF00, 0xFF, 0))
    data = bmp(numbers, 24, header=124, profile=linear)
    header = read_header(data, sniff(data), Limits())
    assert header.icc == linear
    assert header.metadata_bytes == len(linear)
    middle = shown(data)[:, WIDTH // 2, 0]
    assert np.abs(middle - 188).max() < 2  # half of the light in sRGB
