"""Strips and tiles: their positions in image and file, and their decompressed bytes."""

import lzma
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from processors.codecs.tiff.layout import Layout
from processors.codecs.tiff.libtiff import Rows, unpack
from processors.errors import Truncated, Undecodable

Packed = memoryview

# Small segments are decompressed in groups: about this many decompressed bytes, or stored bytes.
_GROUP_BYTES = 4 << 20
_GROUP_STORED_BYTES = 32 << 20
# Segments may share bytes: writers store equal tiles once. A hostile file that names the same
# megabyte for each of its rows takes a minute to read; this many bytes take two seconds.
_MAX_STORED_BYTES = 500_000_000
# Memory limit for LZMA, whose writer chooses the dictionary size; `xz -9` uses 64 MiB.
_LZMA_BYTES = 128 << 20
# Input given to a decompressor at once; a decompressor copies the part that is not used yet.
_FED_BYTES = 1 << 16
_BYTE = 8
_REVERSED_BITS = bytes(int(f"{each:08b}"[::-1], 2) for each in range(256))


@dataclass(frozen=True, slots=True)
class Place:
    """Position and stored size of a strip or tile in the image.

    `indexes` has the segment of each plane; a single one if all samples share a plane.
    """

    left: int
    top: int
    columns: int
    rows: int
    indexes: tuple[int, ...]


def groups(layout: Layout) -> Iterator[list[Place]]:
    """Yield all places in groups of equal size, each group small enough to decompress at once."""
    stored = _stored_bytes(layout)
    group: list[Place] = []
    held = 0
    for place in _places(layout):
        size = int(stored[list(place.indexes)].sum()) if stored.size else 0
        full = group and (
            len(group) >= max(1, _GROUP_BYTES // _unpacked_bytes(layout, group[0]))
            or held + size > _GROUP_STORED_BYTES
        )
        if full or (group and group[0].rows != place.rows):
            yield group
            group, held = [], 0
        group.append(place)
        held += size
    if group:
        yield group


def check_stored(layout: Layout) -> None:
    """Raise Undecodable if all segments together have far more bytes than the file."""
    segments = layout.across * layout.down * layout.planes
    stored = int(_stored_bytes(layout)[:segments].sum())
    most = max(_MAX_STORED_BYTES, 2 * len(layout.directory.data))
    if stored > most:
        raise Undecodable("strips or tiles share too many bytes", limit=most, value=stored)


def _stored_bytes(layout: Layout) -> NDArray[np.int64]:
    """Bytes that `packed` returns for each segment; empty if the rows determine this number."""
    if layout.compression in {"none", "old jpeg"}:
        return np.zeros(0, np.int64)
    left = np.maximum(len(layout.directory.data) - layout.offsets, 0)
    return np.minimum(np.where(layout.counts == 0, left, layout.counts), left)


def row_bytes(layout: Layout, place: Place) -> int:
    """Bytes of one row of a segment, or of one row of blocks if YCbCr is subsampled."""
    horizontal, vertical = layout.subsampling
    if layout.subsampling != (1, 1):
        return -(-place.columns // horizontal) * (horizontal * vertical + 2)
    return -(-place.columns * layout.samples_together * layout.bits // _BYTE)


def stored_rows(layout: Layout, place: Place) -> int:
    """Number of stored rows in a segment; rows of blocks if YCbCr is subsampled."""
    return -(-place.rows // layout.subsampling[1])


def packed(layout: Layout, index: int, size: int) -> Packed:
    """Bytes of a segment as stored in the file; exactly `size` of them if uncompressed.

    Raises Truncated if the segment lies behind the end of the file.
    """
    data = layout.directory.data
    at, count = int(layout.offsets[index]), int(layout.counts[index])
    if at >= len(data) or at == 0:
        raise Truncated(f"strip or tile {index} lies behind the end of the file")
    if layout.compression == "none":
        if count < size and _is_wrong_count(layout, index, size):
            count = size
        if count < size or at + size > len(data):
            raise Truncated(f"strip or tile {index} is shorter than its rows")
        count = size
    elif count == 0:
        count = len(data) - at
    stored = memoryview(data)[at : at + count]
    if layout.bits_reversed and layout.compression not in {"jpeg", "old jpeg"}:
        return memoryview(bytes(stored).translate(_REVERSED_BITS))
    return stored


def _is_wrong_count(layout: Layout, index: int, size: int) -> bool:
    """True if a strip's byte count is too small but the bytes behind it can belong to the strip.

    Some writers of a single strip store a wrong count or none; libtiff ignores the count, too.
    """
    at, count = int(layout.offsets[index]), int(layout.counts[index])
    alone = layout.offsets.size == 1 or count == 0
    return alone and not layout.directory.lies_within(at + count, at + size)


def unpacked(layout: Layout, group: Sequence[Place]) -> Iterator[Rows]:
    """Yield readers of a group's segments: all planes of one place, then those of the next place.

    Readers are made one by one, because an LZMA reader usually has a dictionary of 8 MB. Raises
    Truncated if a segment lies behind the end of the file, Undecodable.
    """
    width, rows = row_bytes(layout, group[0]), stored_rows(layout, group[0])
    segments = [packed(layout, place_of, width * rows) for place_of in _indexes(group)]
    match layout.compression:
        case "none":
            return (_Plain(each, width) for each in segments)
        case "deflate":
            return (_Inflated(each, width) for each in segments)
        case "lzma":
            return (_OfLzma(each, width) for each in segments)
        case _:
            return unpack(layout.compression, segments, width, rows)


def _indexes(group: Sequence[Place]) -> Iterator[int]:
    return (index for place in group for index in place.indexes)


class _Plain:
    """Reader of an uncompressed segment."""

    def __init__(self, stored: Packed, width: int) -> None:
        self._stored, self._width = stored, width

    def read(self, top: int, number: int) -> Packed:
        return self._stored[top * self._width : (top + number) * self._width]


class _Stream(ABC):
    """Reader that decompresses row by row, so that a large strip is never in memory as a whole."""

    def __init__(self, stored: Packed, width: int) -> None:
        self._stored, self._width, self._at = stored, width, 0

    def read(self, top: int, number: int) -> bytes:
        """Read the next rows; `top` is where the last call ended. Raises Truncated, Undecodable."""
        size = number * self._width
        parts, missing = [], size
        while missing:
            part = self._unpack(missing)
            if part is None:
                raise Truncated(f"a strip or tile ends {missing} bytes before row {top + number}")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    @abstractmethod
    def _unpack(self, most: int) -> bytes | None:
        """Decompress at most `most` more bytes; None at the end of the stream."""

    def _fed(self) -> bytes:
        """Next compressed bytes of the segment; empty at its end."""
        part = bytes(self._stored[self._at : self._at + _FED_BYTES])
        self._at += len(part)
        return part


class _Inflated(_Stream):
    def __init__(self, stored: Packed, width: int) -> None:
        super().__init__(stored, width)
        self._stream = zlib.decompressobj()

    def _unpack(self, most: int) -> bytes | None:
        fed = self._stream.unconsumed_tail or self._fed()
        try:
            made = self._stream.decompress(fed, most)
        except zlib.error as error:
            raise Undecodable(f"a strip or tile does not inflate: {error}") from error
        return made if made or (fed and not self._stream.eof) else None


class _OfLzma(_Stream):
    def __init__(self, stored: Packed, width: int) -> None:
        super().__init__(stored, width)
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, _LZMA_BYTES)

    def _unpack(self, most: int) -> bytes | None:
        if self._stream.eof:
            return None
        fed = self._fed() if self._stream.needs_input else b""
        try:
            made = self._stream.decompress(fed, most)
        except lzma.LZMAError as error:
            raise Undecodable(f"a strip or tile is not LZMA: {error}") from error
        return made if made or fed or not self._stream.needs_input else None


def _places(layout: Layout) -> Iterator[Place]:
    plane = layout.across * layout.down
    for number, (down, across) in enumerate(product(range(layout.down), range(layout.across))):
        top = down * layout.segment_height
        # The last strip ends with the image; a tile always has its full size.
        rows = layout.segment_height if layout.tiled else layout.height - top
        yield Place(
            left=across * layout.segment_width,
            top=top,
            columns=layout.segment_width,
            rows=min(rows, layout.segment_height),
            indexes=tuple(number + plane * each for each in range(layout.planes)),
        )


def _unpacked_bytes(layout: Layout, place: Place) -> int:
    return row_bytes(layout, place) * stored_rows(layout, place) * layout.planes
