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
    blocks: int = 0


def read_gif(data: bytes) -> Header:
    """The header of a GIF; raises Truncated and Undecodable.

    A file that ends after its first frame without a trailer is taken, as browsers take it.
    """
    if len(data) < _SCREEN_BYTES:
        raise Truncated(f"{len(data)} bytes, and a GIF starts with {_SCREEN_BYTES}")
    width = int.from_bytes(data[6:8], "little")
    height = int.from_bytes(data[8:10], "little")
    found = _Found()
    try:
        _walk(data, _SCREEN_BYTES + _table_bytes(data[10]), found, (width, height))
    except IndexError:
        if not found.frames:
            raise Truncated("the file ends before its first frame") from None
    if not found.frames:
        raise Undecodable("a GIF without a frame")
    return Header(
        format=GIF,
        width=width,
        height=height,
        frames=found.frames,
        orientation=UPRIGHT,
        has_alpha=found.transparent,
        space="rgb",
        icc=None,
        data=data,
        duration_ms=found.ticks * _MS_A_TICK if found.frames > 1 else None,
        metadata_bytes=found.metadata_bytes,
    )


def _walk(data: bytes, at: int, found: _Found, screen: tuple[int, int]) -> None:
    """Raises IndexError where the file ends too early, Undecodable where a block has no name."""
    while (kind := data[at]) != _TRAILER:
        if kind == _EXTENSION:
            at = _extension(data, at + 1, found)
        elif kind == _IMAGE:
            at = _image(data, at + 1, found, screen)
        elif found.frames:
            return  # what browsers do with rubbish at the end
        else:
            raise Undecodable(f"a block of kind {kind}")


def _extension(data: bytes, at: int, found: _Found) -> int:
    label = data[at]
    if label == _CONTROL:
        found.ticks += int.from_bytes(data[at + 3 : at + 5], "little")
        if not found.frames:
            found.transparent = bool(data[at + 2] & _TRANSPARENT)
    end = _skip(data, at + 1, found)
    if label not in {_CONTROL, _PLAIN_TEXT}:
        found.metadata_bytes += end - at
    return end


def _image(data: bytes, at: int, found: _Found, screen: tuple[int, int]) -> int:
    flags = data[at + 8]
    corner = [int.from_bytes(data[at + n : at + n + 2], "little") for n in range(0, 8, 2)]
    if not found.frames and (corner[:2] != [0, 0] or corner[2:] != list(screen)):
        found.transparent = True  # the first frame leaves a part of the screen empty
    found.frames += 1
    # One byte, the code size, stands before the blocks.
    return _skip(data, at + _DESCRIPTOR_BYTES + _table_bytes(flags) + 1, found)


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
