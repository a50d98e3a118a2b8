"""Detection of files that end too early, to name the fault after decoding has failed.

Decoders only report a failure. A sender has to know whether to send the file again.
"""

import struct
from collections.abc import Callable

from processors.codecs.formats import AVIF, BMP, GIF, HEIC, JPEG, PNG, TIFF, WEBP, Format

_EOI = b"\xff\xd9"
_SOS = 0xDA
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
_TIFF_TYPES = {3: "H", 4: "I"}


def ends_early(data: bytes, image_format: Format) -> bool:
    """True if the structure of the file needs more bytes than the file has."""
    try:
        return _CHECKS[image_format.name](data)
    except (struct.error, IndexError):
        return True  # the structure itself is cut off


def _jpeg(data: bytes) -> bool:
    """True if no end marker follows the first scan; thumbnails before it have their own marker."""
    at = 2
    while data[at] == 0xFF:  # noqa: PLR2004 - every marker starts so
        if data[at + 1] == _SOS:
            return data.find(_EOI, at) < 0
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _gif(data: bytes) -> bool:
    # Some writers pad with zeros after the trailer.
    return not data.rstrip(b"\0").endswith(b";")


def _bmp(data: bytes) -> bool:
    (size,) = struct.unpack_from("<I", data, 2)
    return bool(size > len(data))


def _boxes(data: bytes) -> bool:
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        if size < 8:  # noqa: PLR2004 - 0 means "to the end"; 1 to 7 are no box
            return False
        at += size
    return at > len(data)


def _tiff(data: bytes) -> bool:
    """True if the directory, a strip or a tile extends beyond the end (classic TIFF only)."""
    order = "<" if data.startswith(b"II") else ">"
    version, directory = struct.unpack_from(order + "HI", data, 2)
    if version != 42:  # noqa: PLR2004 - TIFF's own number; 43 is BigTIFF
        return False
    (entries,) = struct.unpack_from(order + "H", data, directory)
    values: dict[int, list[int]] = {}
    for entry in range(entries):
        tag, kind, count = struct.unpack_from(order + "HHI", data, directory + 2 + 12 * entry)
        if tag in {_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES} and kind in _TIFF_TYPES:
            code = f"{order}{count}{_TIFF_TYPES[kind]}"
            at = directory + 10 + 12 * entry
            if struct.calcsize(code) > 4:  # noqa: PLR2004 - longer values are outside of the entry
                (at,) = struct.unpack_from(order + "I", data, at)
            values[tag] = list(struct.unpack_from(code, data, at))
    starts = values.get(_STRIPS) or values.get(_TILES) or []
    sizes = values.get(_STRIP_BYTES) or values.get(_TILE_BYTES) or []
    return any(start + size > len(data) for start, size in zip(starts, sizes, strict=False))


def _never(data: bytes) -> bool:
    del data
    return False


_CHECKS: dict[str, Callable[[bytes], bool]] = {
    JPEG.name: _jpeg,
    GIF.name: _gif,
    BMP.name: _bmp,
    AVIF.name: _boxes,
    HEIC.name: _boxes,
    TIFF.name: _tiff,
    # The header readers of these formats read every chunk and raise Truncated themselves.
    PNG.name: _never,
    WEBP.name: _never,
}
