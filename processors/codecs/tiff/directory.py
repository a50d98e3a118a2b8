"""First directory of a TIFF, classic or BigTIFF: its entries, and their values on demand.

Every read is bounded by the file: an entry whose values lie outside the file has no value.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from processors.errors import TooManyFrames, Truncated, Undecodable

# Field type to numpy type code. A rational is two numbers.
_TYPES = {
    1: "u1",
    2: "u1",
    3: "u2",
    4: "u4",
    5: "u4",
    6: "i1",
    7: "u1",
    8: "i2",
    9: "i4",
    10: "i4",
    11: "f4",
    12: "f8",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}
_RATIONALS = {5, 10}
_BYTES = {
    kind: np.dtype(code).itemsize * (1 + (kind in _RATIONALS)) for kind, code in _TYPES.items()
}
_CLASSIC, _BIG = 42, 43
# A camera writes about 60 entries; there are 65,536 different tags.
_MAX_ENTRIES = 65_536
MAX_PAGES = 10_000
"""Largest number of pages: a scanned book has thousands, and each page costs one read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Directory entry: field type, number of values, offset of the first value."""

    kind: int
    count: int
    at: int

    @property
    def size(self) -> int:
        """Size of all values, in bytes."""
        return self.count * _BYTES.get(self.kind, 1)


@dataclass(frozen=True)
class Directory:
    """Directory from offset `start` to `end`; the first entry of a repeated tag counts."""

    data: bytes
    order: str
    start: int
    end: int
    entries: dict[int, Entry]

    def numbers(self, tag: int) -> NDArray[np.generic]:
        """All values of a numeric tag; empty if the tag is missing or not numeric.

        Raises Truncated if the values lie behind the end of the file.
        """
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _TYPES:
            return np.empty(0, np.int64)
        if entry.at + entry.size > len(self.data):
            raise Truncated(f"the values of tag {tag} lie behind the end of the file")
        dtype = np.dtype(self.order + _TYPES[entry.kind])
        values = np.frombuffer(self.data, dtype, entry.size // dtype.itemsize, entry.at)
        return _quotients(values) if entry.kind in _RATIONALS else values

    def number(self, tag: int, default: int) -> int:
        """First value of a tag as an integer, or `default`."""
        values = self.numbers(tag)
        return int(values[0]) if values.size and np.isfinite(values[0]) else default

    def raw(self, tag: int) -> bytes:
        """Bytes of a value; empty if the tag is missing or the bytes end behind the file."""
        entry = self.entries.get(tag)
        if entry is None or entry.at + entry.size > len(self.data):
            return b""
        return self.data[entry.at : entry.at + entry.size]

    def lies_within(self, start: int, end: int) -> bool:
        """True if the directory or one of its values overlaps the range `start` to `end`."""
        taken = [(each.at, each.at + each.size) for each in self.entries.values()]
        taken.append((self.start, self.end))
        return any(first < end and start < last for first, last in taken)

    @cached_property
    def native(self) -> bool:
        """True if the file has the byte order of this machine."""
        return bool(np.dtype(self.order + "u2").isnative)


@dataclass(frozen=True)
class _Shape:
    """Binary structs of a directory: entry count, entry, offset of a value."""

    number: struct.Struct
    entry: struct.Struct
    place: struct.Struct

    @property
    def entry_bytes(self) -> int:
        return self.entry.size + self.place.size


def first_directory(data: bytes) -> Directory:
    """Parse the first directory; raises Truncated, Undecodable."""
    order, shape, at = _start(data)
    try:
        entries = dict(reversed(list(_entries(data, shape, at))))
    except struct.error as error:
        raise Truncated("the file ends within its first directory") from error
    end = at + shape.number.size + shape.entry_bytes * len(entries)
    return Directory(data, order, at, end, entries)


def count_pages(data: bytes) -> int:
    """Count the pages by following the chain of directories; reads no entries.

    The count ends where the chain loops or leaves the file. Raises TooManyFrames.
    """
    _, shape, at = _start(data)
    seen: set[int] = set()
    while at and at not in seen and len(seen) <= MAX_PAGES:
        seen.add(at)
        at = _next(data, shape, at)
    if len(seen) > MAX_PAGES:
        raise TooManyFrames(f"more than {MAX_PAGES} pages", limit=MAX_PAGES)
    return max(1, len(seen))


def _start(data: bytes) -> tuple[str, _Shape, int]:
    """Byte order (`<` or `>`), structs of a directory, and offset of the first directory."""
    order = "<" if data.startswith(b"II") else ">"
    try:
        (version,) = struct.unpack_from(order + "H", data, 2)
        if version == _CLASSIC:
            shape, at = _shape(order, "H", "HHI", "I"), 4
        elif version == _BIG:
            shape, at = _shape(order, "Q", "HHQ", "Q"), 8
        else:
            raise Undecodable(f"a TIFF of version {version}")
        return order, shape, shape.place.unpack_from(data, at)[0]
    except struct.error as error:
        raise Truncated("the file ends within its first bytes") from error


def _shape(order: str, number: str, entry: str, place: str) -> _Shape:
    return _Shape(*(struct.Struct(order + each) for each in (number, entry, place)))


def _entries(data: bytes, shape: _Shape, at: int) -> Iterator[tuple[int, Entry]]:
    (number,) = shape.number.unpack_from(data, at)
    if not 0 < number <= _MAX_ENTRIES:
        raise Undecodable(f"a directory of {number} entries")
    first = at + shape.number.size
    for position in range(first, first + number * shape.entry_bytes, shape.entry_bytes):
        tag, kind, count = shape.entry.unpack_from(data, position)
        place = position + shape.entry.size
        entry = Entry(kind, count, place)
        if entry.size > shape.place.size:
            entry = Entry(kind, count, shape.place.unpack_from(data, place)[0])
        yield tag, entry


def _next(data: bytes, shape: _Shape, at: int) -> int:
    """Offset of the page after the one at `at`; 0 if there is none."""
    try:
        (number,) = shape.number.unpack_from(data, at)
        following = at + shape.number.size + number * shape.entry_bytes
        place: int = shape.place.unpack_from(data, following)[0]
        return place if place + shape.number.size <= len(data) else 0
    except (struct.error, OverflowError):
        return 0


def _quotients(values: NDArray[np.generic]) -> NDArray[np.float64]:
    pairs = values.astype(np.float64).reshape(-1, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return pairs[:, 0] / pairs[:, 1]
