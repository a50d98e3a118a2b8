"""JPEG through the sandbox: odd endings, segments and scans; which files count as damaged."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from processors.codecs.formats import JPEG
from processors.codecs.header_readers import read_header
from processors.errors import Refused, TooManyScans, Truncated, UnsupportedFormat
from processors.job import Processed
from processors.preset import Preset, RenditionSpec
from processors.settings import Limits
from tests.made.jpeg import (
    ARITHMETIC,
    cut_at,
    empty_arithmetic_scans,
    jpeg,
    place_of,
    restarts,
    segment,
    textured,
)

EXACT = Preset(name="exact", version=1, renditions=(RenditionSpec(name="it", format="png"),))
PLAIN = jpeg(textured(), subsampling=0)
HALVED = jpeg(textured(), subsampling=2)
PROGRESSIVE = jpeg(textured(), subsampling=0, progressive=True)
RESTARTED = jpeg(textured(), subsampling=0, restart_marker_blocks=8)
INKS = jpeg(Image.fromarray(textured()).convert("CMYK"), quality=98)
FLAT = jpeg(np.full((64, 64, 3), 200, np.uint8), optimize=True)
XMP = b"http://ns.adobe.com/xap/1.0/\0"
TABLE, _ = place_of(PLAIN, 0xDB)
SCAN = place_of(PLAIN, 0xDA)


Process = Callable[[bytes, Preset], Processed]


def shown(png: bytes | bytearray) -> NDArray[np.uint8]:
    """Decoded pixels as RGB."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def with_segment(content: bytes, marker: int, data: bytes = PLAIN) -> bytes:
    return data[:2] + segment(marker, content) + data[2:]


def replaced(data: bytes, marker: int, with_what: bytes) -> bytes:
    start, end = place_of(data, marker)
    return data[:start] + with_what + data[end:]


def with_frame(at: int, value: bytes, data: bytes = PLAIN, marker: int = 0xC0) -> bytes:
    start, _ = place_of(data, marker)
    return data[: start + at] + value + data[start + at + len(value) :]


def height_behind_scan() -> bytes:
    """JPEG whose frame gives height 0; DNL behind the scan gives the height, 64."""
    without = with_frame(5, b"\0\0")
    return without[:-2] + segment(0xDC, struct.pack(">H", 64)) + b"\xff\xd9"


WHOLE = {
    "plain": PLAIN,
    "no end": PLAIN[:-2],
    "no end, halved colours": HALVED[:-2],
    "no end, progressive": PROGRESSIVE[:-2],
    "no end, inks": INKS[:-2],
    "no end, restarts": RESTARTED[:-2],
    "no end, one colour": FLAT[:-2],
    "half an end": PLAIN[:-1],
    "half an end, progressive": PROGRESSIVE[:-1],
    "zeros before the end": PLAIN[:-2] + bytes(8) + PLAIN[-2:],
    "zeros instead of the end": PLAIN[:-2] + bytes(2000),
    "zeros behind the end": PLAIN + bytes(2000),
    "zeros before the end, progressive": PROGRESSIVE[:-2] + bytes(8) + PROGRESSIVE[-2:],
    "fill bytes before the end": PLAIN[:-2] + b"\xff" * 9 + b"\xd9",
    "fill bytes instead of the end": PLAIN[:-2] + b"\xff" * 9,
    "rubbish behind the end": PLAIN + b"\0\xff\xd8 trailing",
    "another picture behind the end": PLAIN + HALVED,
    "two ends": PLAIN + PLAIN[-2:],
    "a comment before the end": PLAIN[:-2] + segment(0xFE, b"so long") + PLAIN[-2:],
    "a restart before the end": RESTARTED[:-2] + b"\xff\xd7" + RESTARTED[-2:],
    "rubbish between tables": PLAIN[:TABLE] + b"\0\1\2" + PLAIN[TABLE:],
    "fill bytes between tables": PLAIN[:2] + b"\xff" * 500 + PLAIN[2:],
    "JFIF without content": replaced(PLAIN, 0xE0, segment(0xE0, b"JFIF\0")),
    "APP0 without content": replaced(PLAIN, 0xE0, segment(0xE0, b"")),
    "no APP0": replaced(PLAIN, 0xE0, b""),
    "JFXX": with_segment(b"JFXX\0\x10", 0xE0),
    "Adobe too short": with_segment(b"Adobe", 0xEE),
    "APP14 of another": with_segment(b"Adobo\0\0\0\0\0\0\0", 0xEE),
    "Exif without TIFF": with_segment(b"Exif\0\0II", 0xE1),
    "Exif without anything": with_segment(b"Exif\0\0", 0xE1),
    "ICC without content": with_segment(b"ICC_PROFILE\0", 0xE2),
    "ICC with a piece missing": with_segment(b"ICC_PROFILE\0\1\2abc", 0xE2),
    "MPF without content": with_segment(b"MPF\0", 0xE2),
    "10 MB of segments": PLAIN[:2] + 154 * segment(0xE5, bytes(65_000)) + PLAIN[2:],
    "the scan says Se = 0": PLAIN[: SCAN[1] - 2] + b"\0" + PLAIN[SCAN[1] - 1 :],
    "the scan says Ss = 9": PLAIN[: SCAN[1] - 3] + b"\x09" + PLAIN[SCAN[1] - 2 :],
    "the scan says Al = 2": PLAIN[: SCAN[1] - 1] + b"\2" + PLAIN[SCAN[1] :],
    "the height is behind the scan": height_behind_scan(),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_whole_is_sound(sandboxed: Process, name: str) -> None:
    made = sandboxed(WHOLE[name], EXACT)
    assert not made.facts.details.damaged
    found = shown(made.renditions[0].data).astype(int)
    right = np.full((64, 64, 3), 200) if "one colour" in name else textured()
    # CMYK is converted by the plain formula, and subsampled colours are blurred.
    assert np.abs(found - right).mean() < (9 if "colours" in name or "inks" in name else 3)


@pytest.mark.parametrize(
    "data",
    [
        ARITHMETIC,
        ARITHMETIC[:-2],
        ARITHMETIC[:-1],
        ARITHMETIC[:-2] + bytes(8) + ARITHMETIC[-2:],
        ARITHMETIC[:-2] + bytes(2000),
        ARITHMETIC + b"rubbish",
    ],
    ids=["plain", "no end", "half an end", "zeros before it", "zeros instead", "bytes behind it"],
)
def test_arithmetic_codes_that_are_whole_are_sound(sandboxed: Process, data: bytes) -> None:
    made = sandboxed(data, EXACT)
    assert not made.facts.details.damaged
    found = shown(made.renditions[0].data).astype(int)
    assert np.abs(found - textured(40, 24)[:, :, :1]).mean() < 2


def hole(data: bytes = RESTARTED) -> bytes:
    """Truncate one restart interval of a JPEG; all markers and the end stay."""
    marks = restarts(data)
    return cut_at(data, (marks[2] + marks[3]) // 2) + data[marks[3] :]


def middle(data: bytes) -> int:
    """Offset of the middle of the only scan."""
    return (place_of(data, 0xDA)[1] + len(data)) // 2


HALF, HALF_RESTARTED = middle(PLAIN), middle(RESTARTED)
HALF_ARITHMETIC = ARITHMETIC[: middle(ARITHMETIC)]
CUT = {
    "half": PLAIN[:HALF],
    "half, and an end": cut_at(PLAIN, HALF) + b"\xff\xd9",
    "half, and zeros": PLAIN[:HALF] + bytes(3000),
    "half, restarts": RESTARTED[:HALF_RESTARTED],
    "half, restarts, and an end": cut_at(RESTARTED, HALF_RESTARTED) + b"\xff\xd9",
    "half, restarts, zeros, and an end": RESTARTED[:HALF_RESTARTED] + bytes(600) + b"\xff\xd9",
    "half, arithmetic": HALF_ARITHMETIC,
    "half, arithmetic, and an end": HALF_ARITHMETIC + b"\xff\xd9",
    "half, arithmetic, zeros, and an end": HALF_ARITHMETIC + bytes(600) + b"\xff\xd9",
    "four codes less, arithmetic": ARITHMETIC[:-6],
    "half, inks": INKS[: len(INKS) // 2],
    "half, progressive": PROGRESSIVE[: len(PROGRESSIVE) // 2],
    "a scan less, progressive": PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xda")],
    "no scan": PLAIN[: SCAN[0]],
    "half a table": PLAIN[:100],
}


@pytest.mark.parametrize("name", CUT)
def test_what_ends_early_is_refused(sandboxed: Process, name: str) -> None:
    with pytest.raises(Truncated):
        sandboxed(CUT[name], EXACT)


@pytest.mark.parametrize(
    "data",
    [
        hole(),
        PLAIN[:-2] + b"\x12\x34\x56\x78" * 5 + PLAIN[-2:],
        PLAIN[:HALF] + bytes(9000) + PLAIN[-2:],
        ARITHMETIC[:-2] + b"\x12\x34\x56\x78" * 5 + ARITHMETIC[-2:],
    ],
    ids=[
        "an interval is cut short",
        "codes are left over",
        "zeros in place of codes",
        "arithmetic codes are left over",
    ],
)
def test_what_lost_a_part_is_marked(sandboxed: Process, data: bytes) -> None:
    assert sandboxed(data, EXACT).facts.details.damaged


def refusal_of(data: bytes) -> Refused:
    with pytest.raises(Refused) as refused:
        read_header(data, JPEG, Limits())
    return refused.value


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (with_frame(4, b"\x0c"), "12-bit JPEG"),
        (with_frame(1, b"\xc5"), "hierarchical JPEG (SOF5)"),
        (with_frame(1, b"\xcd"), "hierarchical JPEG (SOF13)"),
        (PLAIN[:2] + segment(0xDE, bytes(15)) + PLAIN[2:], "hierarchical JPEG"),
        (with_frame(1, b"\xcb"), "lossless JPEG in arithmetic coding (SOF11)"),
        (with_frame(1, b"\xc3", with_frame(4, b"\x10")), "lossless 16-bit JPEG"),
        (with_frame(9, b"\2"), "JPEG of 2 components"),
        (with_frame(5, b"\0\0"), "JPEG without a height"),
    ],
)
def test_features_that_are_not_taken_are_named(data: bytes, name: str) -> None:
    error = refusal_of(data)
    assert isinstance(error, UnsupportedFormat)
    assert error.value == name


@pytest.mark.parametrize(
    "data",
    [
        with_frame(0, segment(0xC0, b"\x08"))[: len(PLAIN)],
        with_frame(11, b"\0"),
        PLAIN[: SCAN[0]] + b"\xff\xd9",
        PLAIN[: SCAN[0]] + segment(0xDA, b"") + PLAIN[SCAN[1] :],
        PLAIN[:2]
        + segment(0xC0, PLAIN[place_of(PLAIN, 0xC0)[0] + 4 : place_of(PLAIN, 0xC0)[1]])
        + PLAIN[2:],
    ],
)
def test_broken_frames_and_scans_are_refused(data: bytes) -> None:
    assert refusal_of(data).code in {"undecodable", "truncated"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("before", [b"\xff\xd8", empty_arithmetic_scans(64, 64, 1)[:-2]])
def test_a_long_run_of_fill_bytes_takes_no_longer_than_other_bytes(before: bytes) -> None:
    """Regression: a pattern for a whole run took quadratic time, which is hours for this file."""
    assert refusal_of(before + b"\xff" * 2_000_000 + b"\0").code in {"undecodable", "truncated"}


def test_scans_times_pixels_are_bounded() -> None:
    read_header(empty_arithmetic_scans(64, 64, 600), JPEG, Limits())
    error = refusal_of(empty_arithmetic_scans(7000, 7000, 100))
    assert isinstance(error, TooManyScans)
    assert (error.limit, error.value) == (51, 52)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PLAIN, None),
        (with_segment(b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0", 0xE2), "iso_21496_1"),
        (
            with_segment(
                XMP + b"<x xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/'/>",
                0xE1,
            ),
            "ultra_hdr",
        ),
        (
            with_segment(b"MPF\0MM\0*\0\0\0\x08\0\0\0\0\0\0", 0xE2)
            + with_segment(XMP + b"http://ns.apple.com/HDRGainMap/1.0/", 0xE1),
            "apple",
        ),
    ],
)
def test_gain_maps_are_named(data: bytes, kind: str | None) -> None:
    assert read_header(data, JPEG, Limits()).gain_map == kind
