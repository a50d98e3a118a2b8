"""Header of a BMP (`Info`). Unsupported features are refused here; the error names the feature.

An OS/2 2.x header has 16 to 64 bytes; a short one leaves out trailing zeros. A Windows header has
40 to 124 bytes; each version extends the one before. The header of 12 bytes is the same in both.
"""

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from processors.errors import Truncated, Undecodable, UnsupportedFormat

Compression = Literal["none", "rle8", "rle4", "masks"]

CORE_BYTES = 12

_WINDOWS_SIZES = {40, 52, 56, 108, 124}
_HEAD_BYTES = 14  # the file header in front of this header
_PLACE_AT = 10
_V5_BYTES = 124
_EMBEDDED_PROFILE = 0x4D424544  # the letters MBED
_NAMED_OS2 = {3: "Huffman", 4: "RLE24"}
_NAMED_WINDOWS = {4: "JPEG", 5: "PNG", 11: "CMYK", 12: "CMYK RLE", 13: "CMYK RLE"}
_MASKED = {3: 3, 6: 4}
"""Compression to number of colour masks behind a header of 40 bytes."""
_DEPTHS: dict[Compression, frozenset[int]] = {
    "none": frozenset({1, 2, 4, 8, 16, 24, 32}),
    "rle8": frozenset({8}),
    "rle4": frozenset({4}),
    "masks": frozenset({16, 32}),
}
_PALETTE_BITS = 8
_BGR = 3
_PLAIN_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}

Masks = tuple[int, int, int, int]
"""Bit masks of red, green, blue and alpha in a pixel."""


@dataclass(frozen=True, eq=False)
class Info:
    """Header fields of a BMP.

    `palette` has 256 BGR colours; missing ones are black. `place` is the offset of the pixels.
    """

    width: int
    height: int
    top_down: bool
    bits: int
    compression: Compression
    masks: Masks
    palette: NDArray[np.uint8]
    colours: int
    place: int
    icc: bytes

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, padded to a multiple of four."""
        return -(-self.width * self.bits // 32) * 4


def info_of(data: bytes) -> Info:
    """Parse the header.

    Raises UnsupportedFormat (its value names the feature), Truncated, Undecodable.
    """
    try:
        return _info(data)
    except struct.error as error:
        raise Truncated("the file ends within its header") from error


def _info(data: bytes) -> Info:
    (size,) = struct.unpack_from("<I", data, _HEAD_BYTES)
    if size == CORE_BYTES:
        width, height, _, bits = struct.unpack_from("<4H", data, _HEAD_BYTES + 4)
        number = used = 0
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, _HEAD_BYTES + 4)
        number, used = (_field(data, size, at) for at in (16, 32))
    compression = _compression(number, size)
    if bits not in _DEPTHS[compression]:
        if bits not in _DEPTHS["none"]:
            raise _unsupported(f"{bits}-bit")
        raise Undecodable(f"{compression} of {bits} bits a pixel")
    masks, behind = _masks(data, size, number, bits)
    (place,) = struct.unpack_from("<I", data, _PLACE_AT)
    palette, colours = _palette(data, size, behind, bits, used=used, place=place)
    return Info(
        width=width,
        height=abs(height),
        top_down=height < 0,
        bits=bits,
        compression=compression,
        masks=masks,
        palette=palette,
        colours=colours,
        # If the offset of the pixels is missing or points into the header, the pixels follow the
        # palette.
        place=place if place > behind else behind + colours * _entry_bytes(size),
        icc=_profile(data, size),
    )


def _unsupported(name: str) -> UnsupportedFormat:
    return UnsupportedFormat(f"BMP of {name} is not supported", value=f"{name} BMP")


def _field(data: bytes, size: int, at: int) -> int:
    """Header field at offset `at`; 0 if the header is too short to have it."""
    if at + 4 > size:
        return 0
    return int(struct.unpack_from("<I", data, _HEAD_BYTES + at)[0])


def _compression(number: int, size: int) -> Compression:
    windows = size in _WINDOWS_SIZES
    named = (_NAMED_WINDOWS if windows else _NAMED_OS2).get(number)
    if named:
        raise _unsupported(named)
    known: dict[int, Compression] = {0: "none", 1: "rle8", 2: "rle4"}
    if windows:
        known |= {3: "masks", 6: "masks"}
    if number not in known:
        raise Undecodable(f"a BMP of compression {number}")
    return known[number]


def _masks(data: bytes, size: int, number: int, bits: int) -> tuple[Masks, int]:
    """Colour masks, and the offset behind header and masks."""
    behind = _HEAD_BYTES + size
    if number not in _MASKED or size not in _WINDOWS_SIZES:
        return _PLAIN_MASKS.get(bits, (0, 0, 0, 0)), behind
    at = _HEAD_BYTES + 40
    # A header of 52 bytes contains three masks and a longer one four; behind a header of 40 bytes
    # they follow.
    inside = (size - 40) // 4
    masks = struct.unpack_from(f"<{min(4, inside or _MASKED[number])}I", data, at)
    red, green, blue, alpha = (*masks, 0)[:4]
    for mask in (red, green, blue, alpha):
        _check_mask(mask, bits)
    return (red, green, blue, alpha), behind if inside else at + 4 * len(masks)


def _check_mask(mask: int, bits: int) -> None:
    lowest = mask & -mask
    if mask >> bits or (mask and (mask // lowest + 1) & mask // lowest):
        raise Undecodable(f"a mask of {mask:#x} for pixels of {bits} bits")


def _entry_bytes(size: int) -> int:
    return 3 if size == CORE_BYTES else 4


def _palette(
    data: bytes, size: int, at: int, bits: int, *, used: int, place: int
) -> tuple[NDArray[np.uint8], int]:
    """Palette of 256 BGR colours, and the number of colours in the file."""
    made = np.zeros((256, _BGR), np.uint8)
    if bits > _PALETTE_BITS:
        return made, 0
    entry = _entry_bytes(size)
    number = min(used or 1 << bits, 1 << bits)
    if place > at:
        number = min(number, (place - at) // entry)
    if at + number * entry > len(data):
        raise Truncated("the file ends within its palette")
    entries = np.frombuffer(data, np.uint8, number * entry, at).reshape(number, entry)
    made[:number] = entries[:, :_BGR]
    return made, number


def _profile(data: bytes, size: int) -> bytes:
    """Embedded colour profile; empty without one."""
    if size < _V5_BYTES or _field(data, size, 56) != _EMBEDDED_PROFILE:
        return b""
    at, length = (_field(data, size, place) for place in (112, 116))
    return data[_HEAD_BYTES + at :][:length]
