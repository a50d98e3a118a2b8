"""What a watermark is made of: a stranger's PNG, and text.

A preset's picture is as hostile as any upload. Where presets are read only its header is looked at,
in Python; its pixels are decoded by the gate that uploads go through, in the sandboxed child.
"""

import base64
import binascii
import unicodedata
from functools import lru_cache

import cv2
import numpy as np

from processors.codec import decode
from processors.errors import Refused
from processors.formats import PNG, check_bytes
from processors.header import Header, check_limits, check_metadata
from processors.header_readers import read_header
from processors.image import BGR, BGRA, Image
from processors.operations.paint import Color, with_alpha
from processors.png import read_png
from processors.settings import Limits

MAX_IMAGE_BYTES = 65_536
MAX_IMAGE_CHARACTERS = MAX_IMAGE_BYTES * 4 // 3 + 4
"""largest base64 text of an image, in characters"""
MAX_TEXT = 100
"""longest text, in characters"""

_LIMITS = Limits(
    max_bytes=MAX_IMAGE_BYTES,
    max_pixels=1_000_000,
    max_side=4096,
    max_metadata_bytes=16_384,
    formats=frozenset({"png"}),
)
# Heights of letters, in pixels.
_TRIED, _SMALLEST, _LARGEST = 40, 4, 1000
_OPAQUE = 255


def checked_picture(text: str) -> str:
    """`text`, if it is base64 of a PNG within the limits by its header; raises ValueError."""
    try:
        # Nothing is inflated here: a preset of 200 KB may hold 40 profiles of 4 MB each.
        header = read_png(_data_of(text), inflate=False)
        check_limits(header.width, header.height, header.frames, _LIMITS)
        check_metadata(header.metadata_bytes, _LIMITS)
    except Refused as refused:
        raise ValueError(f"the image of a watermark: {refused.code}: {refused}") from None
    return text


def checked_text(text: str) -> str:
    """`text` as it is drawn; raises ValueError for what shows nothing."""
    composed = unicodedata.normalize("NFC", text)
    if not composed.isprintable():
        raise ValueError("the text of a watermark is one line of characters that print")
    if not composed.strip():
        raise ValueError("the text of a watermark shows something")
    return composed


# A preset's few, decoded once in each child.
@lru_cache(maxsize=4)
def picture(text: str) -> Image:
    """The PNG, with alpha, in 8 bits; raises Refused. For the sandboxed child alone."""
    return with_alpha(decode(_header_of(text)))


@lru_cache(maxsize=16)
def written(text: str, color: Color, width: int) -> Image:
    """A line of text, about that many pixels wide, with alpha."""
    height = _TRIED * width / max(1, _extent(text, _TRIED)[2])
    size = round(min(_LARGEST, max(_SMALLEST, height)))
    x, y, wide, high = _extent(text, size)
    # Letters may lean out of what they are said to take.
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
    """Left, top, width and height of a line that begins at 0, 0."""
    x, y, width, height = cv2.getTextSize((0, 0), text, (0, 0), _font(), size)
    return int(x), int(y), int(width), int(height)


@lru_cache(maxsize=1)
def _font() -> cv2.FontFace:
    # OpenCV holds it, and a second one for letters that it lacks: there are no files to open.
    return cv2.FontFace("sans")


def _header_of(text: str) -> Header:
    return read_header(_data_of(text), PNG, _LIMITS)


def _data_of(text: str) -> bytes:
    """Bytes of a PNG, by their start; raises ValueError, Refused."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the image of a watermark is not base64") from None
    check_bytes(memoryview(data), _LIMITS)
    return data
