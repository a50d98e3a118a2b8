"""PNG: every colour type, depth and interlace, transparent colours, colour chunks."""

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from processors.codecs.codec import decode
from processors.codecs.formats import PNG
from processors.codecs.header_readers import read_header
from processors.errors import Refused
from processors.settings import Limits
from tests.made import icc
from tests.made.png import (
    CHANNELS,
    DEPTHS,
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    chunk,
    png,
)

WIDTH, HEIGHT = 13, 11  # every pass of Adam7 has pixels, and no row fills whole bytes


def shown(data: bytes, *, deep: bool = False) -> NDArray[np.uint8 | np.uint16]:
    """Decoded pixels as RGBA."""
    pixels = decode(read_header(data, PNG, Limits()), deep=deep).pixels
    code = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGBA
    return cv2.cvtColor(pixels, code)  # type: ignore[return-value]


def kinds() -> Iterator[tuple[int, int, bool, bool]]:
    for colour, depths in DEPTHS.items():
        for depth in depths:
            for interlaced in (False, True):
                yield colour, depth, interlaced, False
                if colour in {GREY, RGB, PALETTE}:
                    yield colour, depth, interlaced, True


def wanted(
    samples: NDArray[np.uint16], colour: int, depth: int, hole: tuple[int, ...] | None
) -> NDArray[np.uint16]:
    """Expected RGBA in the depth of the file, at least 8 bits."""
    most = (1 << depth) - 1
    if colour == PALETTE:
        table = palette(depth)
        alphas = np.full(len(table), 255, np.uint16)
        if hole is not None:
            alphas[: len(hole)] = hole
        return np.dstack([table[samples[:, :, 0]], alphas[samples[:, :, 0]]])
    colours = samples[:, :, :1].repeat(3, 2) if colour in {GREY, GREY_ALPHA} else samples[:, :, :3]
    alpha = np.full(samples.shape[:2], most, np.uint16)
    if colour in {GREY_ALPHA, RGBA}:
        alpha = samples[:, :, -1]
    elif hole is not None:
        alpha[(samples == hole).all(axis=2)] = 0
    full = np.dstack([colours, alpha]).astype(np.uint32)
    return (full if depth >= 8 else full * 255 // most).astype(np.uint16)


def palette(depth: int) -> NDArray[np.uint16]:
    return np.random.default_rng(depth).integers(0, 256, (1 << depth, 3)).astype(np.uint16)


@pytest.mark.parametrize(("colour", "depth", "interlaced", "holed"), list(kinds()))
def test_every_kind(colour: int, depth: int, interlaced: bool, holed: bool) -> None:
    most = (1 << depth) - 1
    shape = (HEIGHT, WIDTH, CHANNELS[colour])
    samples = np.random.default_rng(7).integers(0, most + 1, shape).astype(np.uint16)
    chunks = []
    hole: tuple[int, ...] | None = None
    if colour == PALETTE:
        chunks.append(chunk(b"PLTE", palette(depth).astype(np.uint8).tobytes()))
        hole = (0, 77) if holed else None
        chunks += [chunk(b"tRNS", bytes(hole))] if hole else []
    elif holed:
        hole = tuple(int(each) for each in samples[5, 5])
        # A colour that differs in the last bit alone is not the transparent colour.
        samples[4, 4] = samples[5, 5] ^ 1
        chunks.append(chunk(b"tRNS", struct.pack(f">{len(hole)}H", *hole)))
    data = png(samples, colour, depth, *chunks, interlaced=interlaced)
    right = wanted(samples, colour, depth, hole)
    assert np.array_equal(shown(data), right >> 8 if depth == 16 else right)
    if depth == 16:
        assert np.array_equal(shown(data, deep=True), right)


def flat(value: tuple[int, int, int], *chunks: bytes) -> bytes:
    return png(np.full((4, 4, 3), value, np.uint16), RGB, 8, *chunks)


def profiled(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile))


VALUE = (180, 120, 60)
LINEAR = (219, 182, 133)  # by IEC 61966-2-1
P3 = (190, 117, 45)  # by the matrices of SMPTE EG 432-1
CICP_P3 = chunk(b"cICP", bytes((12, 13, 0, 1)))
CICP_SRGB = chunk(b"cICP", bytes((1, 13, 0, 1)))
LINEAR_PROFILE = profiled(icc.matrix_profile("sRGB IEC61966-2.1", 1.0))
GAMMA_1 = chunk(b"gAMA", struct.pack(">I", 100_000))
GAMMA_22 = chunk(b"gAMA", struct.pack(">I", 45_455))
CHRM_P3 = chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
CHRM_NONE = chunk(b"cHRM", bytes(32))


@pytest.mark.parametrize(
    ("chunks", "right"),
    [
        ([CICP_P3], P3),
        ([CICP_SRGB], VALUE),
        ([chunk(b"cICP", bytes((1, 8, 0, 1)))], LINEAR),
        ([chunk(b"cICP", bytes((2, 2, 0, 1)))], VALUE),
        ([chunk(b"cICP", bytes((1, 13, 1, 1)))], VALUE),  # ignored: RGB needs matrix 0
        ([LINEAR_PROFILE], LINEAR),
        ([profiled(icc.matrix_profile("anything", 2.2))], VALUE),
        ([GAMMA_1], LINEAR),
        ([GAMMA_22], VALUE),
        ([chunk(b"gAMA", bytes(4))], VALUE),
        ([CHRM_P3], P3),
        ([GAMMA_22, CHRM_P3], P3),
        ([CHRM_NONE], VALUE),
        # Order of precedence: cICP, iCCP, sRGB, gAMA.
        ([GAMMA_1, chunk(b"sRGB", b"\0")], VALUE),
        ([GAMMA_1, LINEAR_PROFILE, CICP_P3], P3),
        ([LINEAR_PROFILE, CICP_SRGB], VALUE),
        ([chunk(b"iCCP", b"icc\0\0broken"), GAMMA_1], LINEAR),
    ],
)
def test_colours(chunks: list[bytes], right: tuple[int, int, int]) -> None:
    found = shown(flat(VALUE, *chunks))[1, 1, :3].astype(int)
    assert np.abs(found - right).max() <= 4


def test_a_narrow_range_is_stretched() -> None:
    narrow = chunk(b"cICP", bytes((1, 13, 0, 0)))
    assert shown(flat((16, 235, 125), narrow))[0, 0, :3].tolist() == [0, 255, 127]


@pytest.mark.parametrize("transfer", [16, 18], ids=["pq", "hlg"])
def test_hdr_is_toned_down(transfer: int) -> None:
    """Tone mapping: paper white (58 % of PQ, 75 % of HLG) is bright, the maximum is white."""
    paper = {16: 148, 18: 191}[transfer]
    hdr = chunk(b"cICP", bytes((9, transfer, 0, 1)))
    tones = [shown(flat((each,) * 3, hdr))[0, 0, :3] for each in (0, paper // 2, paper, 255)]
    levels = [int(each[0]) for each in tones]
    assert all(np.ptp(each) <= 1 for each in tones)
    assert levels[0] == 0
    assert 215 < levels[2] < 245
    assert levels[3] >= 254
    assert levels == sorted(levels)


def test_colour_of_grey_with_a_profile_of_rgb_is_converted() -> None:
    data = png(np.full((4, 4, 1), 180, np.uint16), GREY, 8, LINEAR_PROFILE)
    assert np.abs(shown(data)[0, 0, :3].astype(int) - LINEAR[0]).max() <= 1


def test_a_grey_profile_is_converted() -> None:
    grey = profiled(icc.matrix_profile("grey", 1.0, ()))
    data = png(np.full((4, 4, 1), 180, np.uint16), GREY, 8, grey)
    assert np.abs(shown(data)[0, 0, :3].astype(int) - LINEAR[0]).max() <= 1
    assert shown(flat(VALUE, grey))[0, 0, :3].tolist() == list(VALUE)  # ignored for RGB


@pytest.mark.parametrize(
    "profile", [icc.pipeline_profile(65), icc.segmented_profile(100), icc.table_profile(10)]
)
def test_a_profile_that_is_a_long_program_counts_as_none(profile: bytes) -> None:
    assert shown(flat(VALUE, profiled(profile)))[0, 0, :3].tolist() == list(VALUE)


def exif_text(prefix: bytes = b"") -> bytes:
    block = prefix + b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
    return f"\nexif\n{len(block):8}\n{block.hex()[:40]}\n{block.hex()[40:]}\n".encode()


@pytest.mark.parametrize(
    "text",
    [
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(exif_text())),
        chunk(b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(exif_text(b"Exif\0\0"))),
        chunk(b"tEXt", b"Raw profile type exif\0" + exif_text()),
        chunk(b"iTXt", b"Raw profile type exif\0\0\0en\0exif\0" + exif_text()),
        chunk(b"iTXt", b"Raw profile type exif\0\1\0\0\0" + zlib.compress(exif_text())),
    ],
)
def test_exif_in_text_is_read(text: bytes) -> None:
    assert read_header(flat(VALUE, text), PNG, Limits()).orientation == 6


@pytest.mark.parametrize(
    "text",
    [
        chunk(b"tEXt", b"Raw profile type exif\0nothing of it"),
        chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 3\nzzz"),
        chunk(b"zTXt", b"Raw profile type exif\0\0not deflated"),
        chunk(b"tEXt", b"Raw profile type iptc\0" + exif_text()),
        chunk(b"iTXt", b"Raw profile type exif\0\0"),
    ],
)
def test_other_text_is_not(text: bytes) -> None:
    assert read_header(flat(VALUE, text), PNG, Limits()).orientation == 1


WHOLE = flat(VALUE)


@pytest.mark.parametrize(
    "data",
    [WHOLE[:-1], WHOLE[:-12], WHOLE[:-12] + chunk(b"tEXt", b"k\0" + bytes(90))[:40]],
    ids=["half an end", "no end", "no end behind half a text"],
)
def test_pixels_that_are_all_there_need_no_end(data: bytes) -> None:
    assert shown(data)[3, 3, :3].tolist() == list(VALUE)


def idat(data: bytes) -> bytes:
    return WHOLE[: WHOLE.index(b"IDAT") - 4] + chunk(b"IDAT", data)


PIXELS = zlib.compress((b"\0" + bytes(VALUE) * 4) * 4)


@pytest.mark.parametrize(
    "data",
    [
        WHOLE[:-20],
        idat(PIXELS[:-6]),
        idat(PIXELS[:-6]) + WHOLE[-12:],
        idat(zlib.compress(b"\0" + bytes(VALUE) * 4)) + WHOLE[-12:],
    ],
    ids=["cut", "half a stream, no end", "half a stream", "a row of four"],
)
def test_pixels_that_are_not_all_there_are_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        shown(data)
