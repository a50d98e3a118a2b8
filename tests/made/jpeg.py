"""JPEG files split and composed anew: segments, scans, odd endings."""

import base64
import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def textured(width: int = 64, height: int = 64) -> NDArray[np.uint8]:
    """RGB picture with detail everywhere, so that a lost part shows."""
    y, x = np.mgrid[:height, :width]
    red = 128 + 100 * np.sin(x / 5) * np.cos(y / 7)
    green = 128 + 100 * np.sin((x + 2 * y) / 9)
    blue = 128 + 100 * np.cos((3 * x - y) / 11)
    return np.stack([red, green, blue], axis=2).round().astype(np.uint8)


def jpeg(image: Image.Image | NDArray[np.uint8], **options: object) -> bytes:
    out = io.BytesIO()
    shown = image if isinstance(image, Image.Image) else Image.fromarray(image)
    shown.save(out, "JPEG", **{"quality": 92, **options})
    return out.getvalue()


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", 2 + len(data)) + data


def place_of(data: bytes, marker: int) -> tuple[int, int]:
    """Return start and end of the first segment with that marker."""
    at = 2
    while data[at + 1] != marker:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at, at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def restarts(data: bytes) -> list[int]:
    """Return the offsets of the restart markers in a file with one scan."""
    start = place_of(data, 0xDA)[1]
    return [
        n for n in range(start, len(data) - 1) if data[n] == 0xFF and 0xD0 <= data[n + 1] <= 0xD7
    ]


def cut_at(data: bytes, at: int) -> bytes:
    """First `at` bytes of a JPEG, without half of a marker at the end."""
    while data[at - 1] == 0xFF:
        at -= 1
    return data[:at]


def empty_arithmetic_scans(width: int, height: int, scans: int) -> bytes:
    """Progressive JPEG in arithmetic coding whose scans are empty; decoders read them as zeros."""
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes((1, 17, 0, 2, 17, 0, 3, 17, 0))
    first = segment(0xDA, bytes((3, 1, 0, 2, 0, 3, 0, 0, 0, 0)))
    parts = [b"\xff\xd8", segment(0xDB, bytes(1) + bytes([1] * 64)), segment(0xCA, frame), first]
    orders = [
        (colour, at, 0 if low == 13 else low + 1, low)
        for low in range(13, -1, -1)
        for colour in (1, 2, 3)
        for at in range(1, 64)
    ]
    for colour, at, high, low in orders[: scans - 1]:
        parts.append(segment(0xDA, bytes((1, colour, 0, at, at, high << 4 | low))))
    return b"".join(parts) + b"\xff\xd9"


ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZG"
    "NywtQFdBRkxOUlNSMj5aYVpQYEpRUk//yQALCAAYACgBAREA/8wABgAQEAX/2gAIAQEAAD8A0iRYqQSxGGQt6U2W"
    "NwNTSN0HwGAPIp+sYGeIGy5pPLw7VdOLUSkvjodyLtVD8pOPq8s8wohjNIWhUZfwVzV9yDt0jj928TKSsy2HgvU2"
    "K2bzPm3ygP/Z"
)
"""Red channel of `textured(40, 24)` in arithmetic coding, which Pillow does not write."""
