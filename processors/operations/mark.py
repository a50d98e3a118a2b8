"""Parts of a watermark: an untrusted PNG, or text drawn by OpenCV.

A picture in a preset may be as hostile as any upload. A process that reads presets only checks the
picture's header, in Python. The sandboxed child decodes the pixels, after the checks of an upload.
"""

import base64
import binascii
import unicodedata
from functools import lru_cache

import cv2
import numpy as np

from processors.codecs.codec import decode
from processors.codecs.formats import PNG, check_bytes
from processors.codecs.header import Header, check_limits, check_metadata
from processors.codecs.header_readers import read_header
from processors.codecs.png import read_png
from processors.errors import Refused
from processors.image import BGR, BGRA, Image
from processors.operations.paint import Color, with_alpha
from processors.settings import Limits

MAX_IMAGE_BYTES = 65_536
MAX_IMAGE_CHARACTERS = MAX_IMAGE_BYTES * 4 // 3 + 4
"""Largest base64 text of an image, in characters."""
MAX_TEXT = 100
"""Longest text, in characters."""

_LIMITS = Limits(
    max_bytes=MAX_IMAGE_BYTES,
    max_pixels=1_000_000,
    max_side=4096,
    max_metadata_bytes=16_384,
    formats=frozenset({"png"}),
)
# Heights of letters in pixels: of the text that is measured first, and the bounds of the result.
_TRIED, _SMALLEST, _LARGEST = 40, 4, 1000
_OPAQUE = 255


def checked_picture(text: str) -> str:
    """Return `text` if it is base64 of a PNG whose header is within the limits.

    Raises ValueError.
    """
    try:
        # No chunk is inflated here: a preset of 200 KB may hold 40 profiles of 4 MB each.
        header = read_png(_data_of(text), inflate=False)
        check_limits(header.width, header.height, header.frames, _LIMITS)
        check_metadata(header.metadata_bytes, _LIMITS)
    except Refused as refused:
        raise ValueError(f"the image of a watermark: {refused.code}: {refused}") from None
    return text


def checked_text(text: str) -> str:
    """Return `text` in Unicode form NFC; raises ValueError for blank or unprintable text."""
    composed = unicodedata.normalize("NFC", text)
    if not composed.isprintable():
        raise ValueError("the text of a watermark must be one line of printable characters")
    if not composed.strip():
        raise ValueError("the text of a watermark is blank")
    return composed


# A preset has few pictures, so each child decodes each picture once.
@lru_cache(maxsize=4)
def picture(text: str) -> Image:
    """Decode the PNG to 8 bits with alpha; only for the sandboxed child. Raises Refused."""
    return with_alpha(decode(_header_of(text)))


@lru_cache(maxsize=16)
def written(text: str, color: Color, width: int) -> Image:
    """Draw a line of text, about `width` pixels wide, with alpha."""
    height = _TRIED * width / max(1, _extent(text, _TRIED)[2])
    size = round(min(_LARGEST, max(_SMALLEST, height)))
    x, y, wide, high = _extent(text, size)
    # Letters may extend beyond the box that OpenCV measures.
    room = size // 4 + 1
    shape = np.zeros((high + 2 * room, wide + 2 * room), np.uint8)
    cv2.putText(shape, text, (room - x, room - y), (_OPAQUE,), _font(), size)
    rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
    if rows.size:
        shape = shape[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    red, green, blue, *alpha = bytes.fromhex(color.removeprefix("#"))
    pixels = np.empty((*shape.shape, BGRA), np.uint8)
    pixels[:, :, :BGR] = (blue, green, red)
    pixels[:, :, BGR] = shape.astype(np.uint16) * (alpha[0] if alpha else _OPAQUE) // _OPAQUE
    return Image(pixels)


def _extent(text: str, size: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of a line of text that starts at 0, 0."""
    x, y, width, height = cv2.getTextSize((0, 0), text, (0, 0), _font(), size)
    return int(x), int(y), int(width), int(height)


@lru_cache(maxsize=1)
def _font() -> cv2.FontFace:
    # This font and the fallback for its missing letters are inside OpenCV. A child can open no
    # file.
    return cv2.FontFace("sans")


def _header_of(text: str) -> Header:
    return read_header(_data_of(text), PNG, _LIMITS)


def _data_of(text: str) -> bytes:
    """Decode base64 to bytes that start like a PNG; raises ValueError, Refused."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the image of a watermark is not base64") from None
    check_bytes(memoryview(data), _LIMITS)
    return data
