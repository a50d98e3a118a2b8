"""Parser of an AV1 stream (AV1 specification, 5.3 to 5.5): its frames, size and colours."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from processors.codecs.bits import Bits

MAX_FRAMES = 8
"""Largest number of AV1 frames in a picture. A progressive picture has four layers, others have
one. A decoder decodes every frame: 100 frames of 16 megapixels have 60 kB and take 10 s."""

_SEQUENCE_HEADER = 1
_FRAMES = {3, 6}  # header of a frame, whole frame
_UNSPECIFIED = 2
# More than a sequence header has; a shorter input is padded with zeros.
_HEADER_BYTES = 256
# A frame may have a unit for each of its tiles.
_MAX_UNITS = 1000


@dataclass(frozen=True, slots=True)
class Sequence:
    """Sequence header: width and height in pixels, primaries and transfer as ITU-T H.273 codes."""

    width: int
    height: int
    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED


def sequence_of(data: bytes) -> Sequence | None:
    """Parse the first sequence header of a stream; None if there is none."""
    for kind, start, end in islice(_units(data), _MAX_UNITS):
        if kind == _SEQUENCE_HEADER:
            return _read(Bits(data[start : min(end, start + _HEADER_BYTES)] + bytes(_HEADER_BYTES)))
    return None


def frames_of(data: bytes) -> int:
    """Number of frames of a stream; each unit behind the first thousand also counts as a frame."""
    units = _units(data)
    frames = sum(kind in _FRAMES for kind, _, _ in islice(units, _MAX_UNITS))
    return frames + sum(1 for _ in islice(units, MAX_FRAMES + 1))


def _units(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield kind, start and end of the content of each unit."""
    at = 0
    while at + 1 < len(data):
        head = data[at]
        at += 1 + (head >> 2 & 1)
        size, at = _leb128(data, at) if head & 2 else (len(data) - at, at)
        yield head >> 3 & 15, at, at + size
        at += size


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for n, byte in enumerate(data[at : at + 8]):
        value |= (byte & 127) << 7 * n
        if byte < 128:  # noqa: PLR2004 - last byte of the number
            return value, at + n + 1
    return len(data), len(data)


def _read(bits: Bits) -> Sequence:
    profile, _, reduced = bits.take(3), bits.take(), bits.take()
    if reduced:
        bits.take(5)
    else:
        _skip_operating_points(bits)
    of_width, of_height = bits.take(4) + 1, bits.take(4) + 1
    width, height = bits.take(of_width) + 1, bits.take(of_height) + 1
    if not reduced and bits.take():
        bits.take(7)
    bits.take(3)
    if not reduced:
        _skip_tools(bits)
    bits.take(3)
    primaries, transfer = _colours(bits, profile)
    return Sequence(width, height, primaries, transfer)


def _skip_operating_points(bits: Bits) -> None:
    delay_bits = 0
    timed = bits.take()
    if timed:
        bits.take(64)
        if bits.take():
            bits.variable()
        if bits.take():
            delay_bits = bits.take(5) + 1
            bits.take(42)
    delayed = bits.take()
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:  # noqa: PLR2004 - levels that have tiers
            bits.take()
        if delay_bits and bits.take():
            bits.take(2 * delay_bits + 1)
        if delayed and bits.take():
            bits.take(4)


def _skip_tools(bits: Bits) -> None:
    bits.take(4)
    ordered = bits.take()
    if ordered:
        bits.take(2)
    screen = 2 if bits.take() else bits.take()
    if screen and not bits.take():
        bits.take()
    if ordered:
        bits.take(3)


def _colours(bits: Bits, profile: int) -> tuple[int, int]:
    deep = bits.take()
    if profile == 2 and deep:  # noqa: PLR2004 - the professional profile
        bits.take()
    if profile != 1:
        bits.take()
    return (bits.take(8), bits.take(8)) if bits.take() else (_UNSPECIFIED, _UNSPECIFIED)
