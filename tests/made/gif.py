"""GIF files of any screen, frames and ending, written without an encoder."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

BLACK, RED, GREEN, BLUE = range(4)
PALETTE = b"\0\0\0\xff\0\0\0\xff\0\0\0\xff"
"""Four colours: black, red, green, blue."""


@dataclass
class Frame:
    """Frame of a GIF: `indices` row by row, and optionally its own `table` of four colours."""

    left: int
    top: int
    width: int
    height: int
    indices: Sequence[int]
    transparent: int | None = None
    interlaced: bool = False
    table: bytes = b""
    ended: bool = True


def codes(indices: Sequence[int], *, ended: bool = True) -> bytes:
    """LZW data of two bits; a clear code before every second index keeps the codes at 3 bits."""
    clear, end, wide = 4, 5, 3
    numbers = []
    for n, each in enumerate(indices):
        numbers += [clear, each] if n % 2 == 0 else [each]
    numbers += [end] if ended else []
    value = sum(number << n * wide for n, number in enumerate(numbers))
    data = value.to_bytes(-(-len(numbers) * wide // 8), "little")
    blocks = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"\2" + b"".join(bytes([len(each)]) + each for each in blocks) + b"\0"


def gif(
    screen: tuple[int, int],
    *frames: Frame,
    version: bytes = b"GIF89a",
    table: bytes = PALETTE,
    before: bytes = b"",
    ended: bool = True,
) -> bytes:
    """GIF of a screen and frames; `before` are blocks between the screen and the first frame."""
    out = version + struct.pack("<HHBBB", *screen, 0x91 if table else 0x11, 2, 0) + table + before
    for each in frames:
        if version == b"GIF89a":
            flags = each.transparent is not None
            out += b"\x21\xf9\4" + struct.pack("<BHBB", flags, 10, each.transparent or 0, 0)
        place = (each.left, each.top, each.width, each.height)
        flags_of = 0x40 * each.interlaced | (0x81 if each.table else 0)
        out += b"\x2c" + struct.pack("<HHHHB", *place, flags_of) + each.table
        out += codes(each.indices, ended=each.ended)
    return out + (b";" if ended else b"")
