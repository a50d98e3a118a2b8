"""Bytes that reach OpenCV: only those of the formats that it may decode."""

import io
import struct
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from processors.codecs.codec import decode
from processors.codecs.formats import TIFF, sniff
from processors.codecs.header_readers import read_header
from processors.errors import Refused, Undecodable, UnsupportedFormat
from processors.settings import Limits
from tests.made.tiff import coded
from tests.photos import scene

PHOTO = scene(width=96, height=64)
# Formats, by their first bytes, that OpenCV's wheel can read and must not get.
NOT_FOR_OPENCV = {
    "TIFF": b"II*\0\x08\0\0\0",
    "TIFF, big-endian": b"MM\0*\0\0\0\x08",
    "BigTIFF": b"II+\0\x08\0\0\0",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG 2000 codestream": b"\xff\x4f\xff\x51",
    "OpenEXR": b"\x76\x2f\x31\x01",
    "Radiance HDR": b"#?RADIANCE\n",
    "Sun raster": b"\x59\xa6\x6a\x95",
    "PNM": b"P6\n96 64\n255\n",
    "PFM": b"PF\n96 64\n-1.0\n",
}
TRUSTED = (b"\xff\xd8\xff", b"RIFF")


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """First bytes of all data that OpenCV is asked to decode."""
    seen: list[bytes] = []
    real = cv2.imdecode

    def imdecode(data: Any, flags: int) -> Any:
        seen.append(np.asarray(data).tobytes()[:12])
        return real(data, flags)

    monkeypatch.setattr(cv2, "imdecode", imdecode)
    return seen


@pytest.mark.parametrize("name", NOT_FOR_OPENCV)
def test_a_file_of_another_format_does_not_reach_opencv(name: str) -> None:
    try:
        found = sniff(NOT_FOR_OPENCV[name].ljust(1024, b"\0"))
    except UnsupportedFormat:
        return
    assert found is TIFF  # decoded by the product's own reader


@pytest.mark.parametrize("compression", [7, 50_001])
@pytest.mark.parametrize("name", NOT_FOR_OPENCV)
def test_a_strip_of_another_format_does_not_reach_opencv(
    name: str, compression: int, given: list[bytes]
) -> None:
    """TIFF strip declared as JPEG or WebP that holds a format for another reader of OpenCV."""
    whole = saved(PHOTO, "TIFF") if name == "TIFF" else NOT_FOR_OPENCV[name].ljust(4096, b"\1")
    data = coded([whole], {259: (3, (compression,)), 278: (3, (64,))})
    with pytest.raises(Refused):
        decode(read_header(data, TIFF, Limits()))
    assert [each for each in given if not each.startswith(TRUSTED)] == []


def test_strips_of_tiff_reach_opencv_as_jpeg_and_webp(given: list[bytes]) -> None:
    for compression, strip in (
        (7, saved(PHOTO, "JPEG", keep_rgb=True)),
        (50_001, saved(PHOTO, "WEBP", lossless=True)),
    ):
        fields = {259: (3, (compression,)), 278: (3, (64,))}
        decode(read_header(coded([strip], fields), TIFF, Limits()))
    assert [each[:4] for each in given] == [b"\xff\xd8\xff\xee", b"RIFF"]


def test_a_plain_tiff_does_not_reach_opencv(given: list[bytes]) -> None:
    for compression in ("raw", "tiff_lzw", "tiff_deflate", "packbits"):
        decode(read_header(saved(PHOTO, "TIFF", compression=compression), TIFF, Limits()))
    assert given == []


def both_tiff_and_webp() -> bytes:
    """TIFF of 96 x 64 that is also a WebP: the header has a VP8X chunk with the same size."""
    directory_at = 40
    canvas = bytes(4) + (95).to_bytes(3, "little") + (63).to_bytes(3, "little")
    head = b"II*\0" + struct.pack("<I", directory_at) + b"WEBP"
    chunks = b"VP8X" + struct.pack("<I", 10) + canvas + b"JUNK" + struct.pack("<I", 10) + bytes(2)
    fields = {
        256: 96,
        257: 64,
        258: 8,
        259: 1,
        262: 1,
        273: 200,
        277: 1,
        278: 64,
        279: 96 * 64,
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    directory = struct.pack("<H", len(fields)) + entries + bytes(4)
    return (head + chunks + directory).ljust(200, b"\0") + bytes(96 * 64)


def test_a_strip_that_is_tiff_and_webp_at_once_does_not_reach_opencv(given: list[bytes]) -> None:
    both = both_tiff_and_webp()
    taken = cv2.imdecode(np.frombuffer(both, np.uint8), cv2.IMREAD_COLOR)
    assert taken is not None
    assert taken.shape == (64, 96, 3)
    given.clear()
    data = coded([both], {259: (3, (50_001,)), 278: (3, (64,))})
    with pytest.raises(Undecodable):
        decode(read_header(data, TIFF, Limits()))
    assert given == []
