"""BMP files of any header, depth and masks, written from numbers without code of the product."""

import struct

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.unsignedinteger]
CORE = 12


def bmp(
    numbers: Numbers,
    bits: int,
    *,
    header: int = 40,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    palette: NDArray[np.integer] | None = None,
    top_down: bool = False,
    pixels: bytes | None = None,
    profile: bytes = b"",
) -> bytes:
    """BMP of rows x columns of integers of `bits` bits; `pixels` replaces the encoded rows.

    `palette` is RGB.
    """
    height, width = numbers.shape
    rows = numbers if top_down else numbers[::-1]
    body = packed(rows, bits) if pixels is None else pixels
    colours = _palette(palette, 3 if header == CORE else 4)
    # The masks stand behind a header of 40 bytes, and within a longer header.
    behind = struct.pack(f"<{len(masks)}I", *masks) if header == 40 else b""
    place = 14 + header + len(behind) + len(colours)
    info = _info(header, width, -height if top_down else height, bits, compression)
    if header > 40 and masks:
        info = info[:40] + struct.pack(f"<{len(masks)}I", *masks) + info[40 + 4 * len(masks) :]
    if profile:
        info = info[:56] + b"DEBM" + info[60:112]
        info += struct.pack("<II", place - 14 + len(body), len(profile)) + bytes(4)
    size = place + len(body) + len(profile)
    file = struct.pack("<2sIHHI", b"BM", size, 0, 0, place)
    return file + info[:header] + behind + colours + body + profile


def packed(rows: Numbers, bits: int) -> bytes:
    """Rows of numbers as bytes, each row padded to a multiple of four bytes."""
    if bits < 8:
        shifts = np.arange(bits - 1, -1, -1)
        each = (rows[:, :, np.newaxis] >> shifts & 1).astype(np.uint8)
        found = np.packbits(each.reshape(len(rows), -1), axis=1)
    else:
        whole = rows.astype("<u4").view(np.uint8).reshape(*rows.shape, 4)
        found = whole[:, :, : bits // 8].reshape(len(rows), -1)
    return np.pad(found, ((0, 0), (0, -found.shape[1] % 4))).tobytes()


def runs(rows: Numbers, bits: int) -> bytes:
    """RLE8 or RLE4 of rows, bottom row first; rows alternate between runs and literal indices."""
    made = bytearray()
    for number, row in enumerate(rows[::-1]):
        for start in range(0, len(row), 10):
            part = [int(each) for each in row[start : start + 10]]
            made += _one_by_one(part, bits) if number % 2 and len(part) > 2 else _run(part, bits)
        made += b"\0\0"
    return bytes(made + b"\0\1")


def _one_by_one(part: list[int], bits: int) -> bytes:
    padded = [*part, 0]
    pairs = range(0, len(part), 2)
    body = bytes(part) if bits == 8 else bytes(padded[n] << 4 | padded[n + 1] for n in pairs)
    return bytes((0, len(part))) + body + bytes(len(body) % 2)


def _run(part: list[int], bits: int) -> bytes:
    return b"".join(bytes((1, each if bits == 8 else each << 4)) for each in part)


def _info(header: int, width: int, height: int, bits: int, compression: int) -> bytes:
    if header == CORE:
        return struct.pack("<I4H", header, width, height, 1, bits)
    return struct.pack("<IiiHHI", header, width, height, 1, bits, compression) + bytes(header)


def _palette(palette: NDArray[np.integer] | None, entry: int) -> bytes:
    if palette is None:
        return b""
    colours = palette[:, ::-1].astype(np.uint8)
    return np.pad(colours, ((0, 0), (0, entry - 3))).tobytes()
