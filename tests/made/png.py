"""PNG files of every colour type, depth and interlace, with any chunks, made without an encoder."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16)}
DEPTHS[RGBA] = (8, 16)

# Adam7's passes: first column, first row, column step, row step.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    samples: NDArray[np.uint16], colour: int, depth: int, *chunks: bytes, interlaced: bool = False
) -> bytes:
    """Encode samples (rows, columns, channels) of this depth; `chunks` are put before IDAT."""
    height, width = samples.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    body = zlib.compress(b"".join(_rows(samples, depth, interlaced=interlaced)), 9)
    parts = [chunk(b"IHDR", head), *chunks, chunk(b"IDAT", body), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _rows(samples: NDArray[np.uint16], depth: int, *, interlaced: bool) -> Iterator[bytes]:
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    for left, top, across, down in passes:
        part = samples[top::down, left::across]
        if part.size:
            for row in part:
                yield b"\0" + _packed(row.ravel(), depth)


def _packed(row: NDArray[np.uint16], depth: int) -> bytes:
    if depth == 16:
        return row.astype(">u2").tobytes()
    shifts = np.arange(depth - 1, -1, -1)
    return np.packbits((row[:, None] >> shifts & 1).astype(np.uint8).ravel()).tobytes()
