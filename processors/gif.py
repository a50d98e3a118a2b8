"""GIF, block by block: screen, frames and how long they are shown. No code is unpacked here."""

from dataclasses import dataclass

from processors.errors import Truncated, Undecodable
from processors.formats import GIF
from processors.header import UPRIGHT, Header

_SCREEN_BYTES = 13
_DESCRIPTOR_BYTES = 9
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL, _PLAIN_TEXT = 0xF9, 0x01
_HAS_TABLE, _TABLE_SIZE, _TRANSPARENT = 0x80, 0x07, 0x01
# Delays are in hundredths of a second.
_MS_A_TICK = 10
# Encoders fill their blocks, 255 bytes each: 25 MB are 100,000. Blocks of one byte burn time.
MAX_BLOCKS = 1_000_000


@dataclass(slots=True)
class _Found:
    frames: int = 0
    ticks: int = 0
    metadata_bytes: int = 0
    transparent: bool = False
    width: int = 0
    height: int = 0
    blocks: int = 0


def read_gif(data: bytes) -> Header:
    """The header of a GIF; raises Truncated and Undecodable.

    A file that ends after its first frame without a trailer is taken, as browsers take it.
    """
    if len(data) < _SCREEN_BYTES:
        raise Truncated(f"{len(data)} bytes, and a GIF starts with {_SCREEN_BYTES}")
    found = _Found(width=_number(data, 6), height=_number(data, 8))
    try:
        _walk(data, _SCREEN_BYTES + _table_bytes(data[10]), found)
    except IndexError:
        if not found.frames:
            raise Truncated("the file ends before its first frame") from None
    if not found.frames:
        raise Undecodable("a GIF without a frame")
    return Header(
        format=GIF,
        reader="pillow",
        width=found.width,
        height=found.height,
        frames=found.frames,
        orientation=UPRIGHT,
        has_alpha=found.transparent,
        space="rgb",
        icc=None,
        data=data,
        duration_ms=found.ticks * _MS_A_TICK if found.frames > 1 else None,
        metadata_bytes=found.metadata_bytes,
    )


def _walk(data: bytes, at: int, found: _Found) -> None:
    """Raises IndexError where the file ends too early, Undecodable where a block has no name."""
    while (kind := data[at]) != _TRAILER:
        if kind == _EXTENSION:
            at = _extension(data, at + 1, found)
        elif kind == _IMAGE:
            at = _image(data, at + 1, found)
        elif found.frames:
            return  # what browsers do with rubbish at the end
        else:
            raise Undecodable(f"a block of kind {kind}")


def _extension(data: bytes, at: int, found: _Found) -> int:
    label = data[at]
    if label == _CONTROL:
        found.ticks += _number(data, at + 3)
        if not found.frames:
            found.transparent = bool(data[at + 2] & _TRANSPARENT)
    end = _skip(data, at + 1, found)
    if label not in {_CONTROL, _PLAIN_TEXT}:
        found.metadata_bytes += end - at
    return end


def _image(data: bytes, at: int, found: _Found) -> int:
    flags = data[at + 8]
    if not found.frames:
        _first_frame([_number(data, at + n) for n in range(0, 8, 2)], found)
    found.frames += 1
    # One byte, the code size, stands before the blocks.
    return _skip(data, at + _DESCRIPTOR_BYTES + _table_bytes(flags) + 1, found)


def _first_frame(place: list[int], found: _Found) -> None:
    """Make the screen as large as its first frame needs it; the others are never unpacked."""
    left, top, width, height = place
    found.width, found.height = max(found.width, left + width), max(found.height, top + height)
    if place != [0, 0, found.width, found.height]:
        found.transparent = True  # it leaves a part of the screen empty


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _skip(data: bytes, at: int, found: _Found) -> int:
    """Behind a row of blocks, which a block of no bytes ends."""
    while length := data[at]:
        at += 1 + length
        found.blocks += 1
        if found.blocks > MAX_BLOCKS:
            raise Undecodable(f"more than {MAX_BLOCKS} blocks", limit=MAX_BLOCKS)
    return at + 1


def _table_bytes(flags: int) -> int:
    return 3 << (flags & _TABLE_SIZE) + 1 if flags & _HAS_TABLE else 0
