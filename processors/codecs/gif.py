"""GIF reader: screen, frames, duration; decodes the first frame.

The decoder receives one frame: screen size, one colour table, and the LZW codes. Pillow's own GIF
reader is not used: it paints uncovered parts black, and fails for a frame without a size.
"""

import struct
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from processors.codecs.formats import GIF
from processors.codecs.header import UPRIGHT, Header, check_limits
from processors.errors import Truncated, Undecodable
from processors.settings import Limits

_SCREEN_BYTES = 13
_DESCRIPTOR_BYTES, _CONTROL_BYTES = 9, 4
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL, _PLAIN_TEXT, _APPLICATION = 0xF9, 0x01, 0xFF
_HAS_TABLE, _TABLE_SIZE, _TRANSPARENT, _INTERLACED = 0x80, 0x07, 0x01, 0x40
_PROFILE = b"\x0bICCRGBG1012"
# Delays are in hundredths of a second.
_MS_A_TICK = 10
# Encoders fill their blocks of 255 bytes, so 25 MB are 100,000 blocks. Tiny blocks cost time.
MAX_BLOCKS = 1_000_000
_GREYS = bytes(each for level in range(256) for each in (level, level, level))
_FRAME = struct.Struct("<HHHHBh")
"""Frame for `decode_gif`: left, top, width, height, flags, transparent index or -1."""

_SCREEN = struct.Struct("<HH")
_TABLE_BYTES = 768


@dataclass(slots=True)
class _Found:
    width: int
    height: int
    table: bytes = b""
    frames: int = 0
    ticks: int = 0
    metadata_bytes: int = 0
    blocks: int = 0
    transparent: int = -1
    profile: list[bytes] = field(default_factory=list)
    picture: bytes = b""
    covered: bool = False


def read_gif(data: bytes, limits: Limits) -> Header:
    """Read the header of a GIF; its `data` is the first frame with pixels, for `decode_gif`.

    The trailer behind that frame may be missing, as in browsers. Raises Truncated, Undecodable,
    SideTooLong, TooManyPixels.
    """
    if len(data) < _SCREEN_BYTES:
        raise Truncated(f"{len(data)} bytes; the header of a GIF has {_SCREEN_BYTES}")
    start = _SCREEN_BYTES + _table_bytes(data[10])
    facts = _Found(_number(data, 6), _number(data, 8), table=data[_SCREEN_BYTES:start])
    try:
        _walk(data, start, facts)
    except IndexError:
        if not facts.picture:
            _check_screen(facts, limits)
            raise Truncated("the file ends before its first frame") from None
    if not facts.picture:
        _check_screen(facts, limits)
        raise Undecodable("a GIF without pixels")
    *_, transparent = _FRAME.unpack_from(facts.picture)
    return Header(
        format=GIF,
        reader="gif",
        width=facts.width,
        height=facts.height,
        frames=facts.frames,
        orientation=UPRIGHT,
        has_alpha=transparent >= 0 or not facts.covered,
        space="rgb",
        icc=b"".join(facts.profile) or None,
        data=_SCREEN.pack(facts.width, facts.height) + facts.picture,
        duration_ms=facts.ticks * _MS_A_TICK if facts.frames > 1 else None,
        metadata_bytes=facts.metadata_bytes,
    )


def _check_screen(facts: _Found, limits: Limits) -> None:
    # A file can be too large and also lack its pixels. The size is the more useful error.
    check_limits(max(1, facts.width), max(1, facts.height), 1, limits)


def decode_gif(picture: bytes) -> NDArray[np.uint8]:
    """Decode the frame of `read_gif` to BGRA, or to BGR if no pixel can be transparent.

    Pixels outside of the frame are transparent. Raises Truncated, Undecodable.
    """
    screen = _SCREEN.unpack_from(picture)
    left, top, width, height, flags, transparent = _FRAME.unpack_from(picture, _SCREEN.size)
    at = _SCREEN.size + _FRAME.size
    codes = picture[at + _TABLE_BYTES + 1 :]
    bits, interlaced = picture[at + _TABLE_BYTES], int(bool(flags & _INTERLACED))
    try:
        frame = Pillow.frombytes("P", (width, height), codes, "gif", bits, interlaced, -1)
    except ValueError as error:
        if "not enough" in str(error):
            raise Truncated("the frame ends before its pixels do") from error
        raise Undecodable("the pixels do not decode") from error
    # cv2.LUT, because NumPy's look-up needs eight bytes for each index.
    indices, colours = np.asarray(frame), _colours(picture[at : at + _TABLE_BYTES], transparent)
    covered = (width, height) == screen
    channels = 3 if covered and transparent < 0 else 4
    planes = [cv2.LUT(indices, np.ascontiguousarray(colours[:, each])) for each in range(channels)]
    shown = cv2.merge(planes).astype(np.uint8, copy=False)
    if covered:
        return shown
    canvas = np.zeros((screen[1], screen[0], 4), np.uint8)
    canvas[top : top + height, left : left + width] = shown
    return canvas


def _colours(table: bytes, transparent: int) -> NDArray[np.uint8]:
    colours = np.full((256, 4), 255, np.uint8)
    colours[:, 2::-1] = np.frombuffer(table, np.uint8).reshape(-1, 3)
    if transparent >= 0:
        colours[transparent] = 0
    return colours


def _walk(data: bytes, at: int, facts: _Found) -> None:
    """Read all blocks; raises IndexError if the file ends early, Undecodable for unknown blocks."""
    while (kind := data[at]) != _TRAILER:
        if kind == _EXTENSION:
            at = _extension(data, at + 1, facts)
        elif kind == _IMAGE:
            at = _image(data, at + 1, facts)
        elif facts.picture:
            return  # browsers ignore garbage at the end, too
        else:
            raise Undecodable(f"a block of kind {kind}")


def _extension(data: bytes, at: int, facts: _Found) -> int:
    label = data[at]
    if label == _CONTROL:
        facts.ticks += _number(data, at + 3)
        facts.transparent = _transparent(data, at)
    end = _skip(data, at + 1, facts)
    if label == _APPLICATION and data.startswith(_PROFILE, at + 1) and not facts.profile:
        facts.profile = _unblocked(data, at + 1 + len(_PROFILE), end)
    if label not in {_CONTROL, _PLAIN_TEXT}:
        facts.metadata_bytes += end - at
    return end


def _transparent(data: bytes, at: int) -> int:
    """Transparent index of a graphic control block, -1 for none."""
    complete = data[at + 1] >= _CONTROL_BYTES
    return data[at + 5] if complete and data[at + 2] & _TRANSPARENT else -1


def _image(data: bytes, at: int, facts: _Found) -> int:
    flags = data[at + 8]
    table = at + _DESCRIPTOR_BYTES
    codes = table + _table_bytes(flags)
    try:
        end = _skip(data, codes + 1, facts)
    except IndexError:
        # Only the end of the blocks is missing; the codes may be complete.
        if not facts.picture:
            _take(data, at, codes, len(data), facts)
        raise
    facts.frames += 1
    if not facts.picture:
        _take(data, at, codes, end, facts)
    facts.transparent = -1
    return end


def _take(data: bytes, at: int, codes: int, end: int, facts: _Found) -> None:
    """Keep a frame if it has a pixel; enlarge the screen to contain it."""
    bits, blocks = data[codes], b"".join(_unblocked(data, codes + 1, end))
    left, top, width, height = (_number(data, at + n) for n in range(0, 8, 2))
    if not width or not height:
        # Browsers treat a frame without a size as large as the screen.
        width, height = facts.width, facts.height
    facts.width, facts.height = max(facts.width, left + width), max(facts.height, top + height)
    if not _has_pixels(bits, blocks):
        return
    facts.covered = (left, top, width, height) == (0, 0, facts.width, facts.height)
    facts.frames = max(1, facts.frames)
    local = data[at + _DESCRIPTOR_BYTES : codes]
    table = (local or facts.table or _GREYS).ljust(_TABLE_BYTES, b"\0")
    place = _FRAME.pack(left, top, width, height, data[at + 8], facts.transparent)
    facts.picture = b"".join((place, table, bytes([bits]), _blocked(blocks)))


def _has_pixels(bits: int, blocks: bytes) -> bool:
    """True if the first LZW code after the clear codes is a colour and not the end code."""
    if not 0 < bits < 9:  # noqa: PLR2004 - bits of a colour
        return bool(blocks)
    value, wide = int.from_bytes(blocks[:64], "little"), bits + 1
    for n in range(8 * len(blocks[:64]) // wide):
        code = value >> n * wide & (1 << wide) - 1
        if code != 1 << bits:
            return code != (1 << bits) + 1
    return False


def _unblocked(data: bytes, at: int, end: int) -> list[bytes]:
    """Contents of a chain of sub-blocks; the last one may be incomplete."""
    parts = []
    while at < end and (length := data[at]):
        parts.append(data[at + 1 : min(end, at + 1 + length)])
        at += 1 + length
    return parts


def _blocked(codes: bytes) -> bytes:
    parts = [codes[at : at + 255] for at in range(0, len(codes), 255)]
    return b"".join(bytes([len(each)]) + each for each in parts) + b"\0"


def _number(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8


def _skip(data: bytes, at: int, facts: _Found) -> int:
    """Offset behind a chain of sub-blocks, which an empty sub-block ends."""
    while length := data[at]:
        at += 1 + length
        facts.blocks += 1
        if facts.blocks > MAX_BLOCKS:
            raise Undecodable(f"more than {MAX_BLOCKS} blocks", limit=MAX_BLOCKS)
    return at + 1


def _table_bytes(flags: int) -> int:
    return 3 << (flags & _TABLE_SIZE) + 1 if flags & _HAS_TABLE else 0
