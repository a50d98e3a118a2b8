"""The first directory of a TIFF, entry by entry: how much is metadata, and is it a camera's."""

import struct
from collections.abc import Iterator
from itertools import islice

# By the number of a field's type: bytes of one value.
_TYPE_BYTES = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
# Where the pixels lie, and tables that decoding needs: as long as the image is large.
_STRUCTURE = {273, 279, 288, 289, 320, 324, 325, 347}
_CLASSIC, _BIG = 42, 43


# Which camera RAW in TIFF's clothing has: pixels under a colour filter, or the mark of a DNG.
_PHOTOMETRIC, _DNG_VERSION = 262, 50706
_FILTERED = {32803, 34892}
_SUBFILE, _SUB_IFDS = 254, 330
_REDUCED = 1
_SHORT = 3
# More entries than any camera writes; a hostile file has a million.
_A_CAMERAS = 1000


# Tag, type, number of values, and the value where that is one whole number. A plain tuple: it
# is made for every entry of a hostile file.
_Entry = tuple[int, int, int, int]


def metadata_bytes(data: bytes) -> int:
    """Bytes of the values in the first directory but for the places of pixels; 0 if unreadable.

    A value counts as long as it says it is, and no longer than the file.
    """
    return sum(
        min(len(data), count * _TYPE_BYTES.get(kind, 1))
        for tag, kind, count, _ in _first_directory(data)
        if tag not in _STRUCTURE
    )


def is_raw(data: bytes) -> bool:
    """True for what cameras write: DNG, NEF, ARW, PEF and their like.

    Their first directory is often a thumbnail, which is nobody's photograph.
    """
    entries = islice(_first_directory(data), _A_CAMERAS)
    first = {tag: number for tag, _, _, number in entries}
    thumbnail_first = first.get(_SUBFILE) == _REDUCED and _SUB_IFDS in first
    return thumbnail_first or _DNG_VERSION in first or first.get(_PHOTOMETRIC) in _FILTERED


def _first_directory(data: bytes) -> Iterator[_Entry]:
    """As many of its entries as can be read."""
    order = "<" if data.startswith(b"II") else ">"
    try:
        (version,) = struct.unpack_from(order + "H", data, 2)
        if version == _CLASSIC:
            yield from _entries(data, order, 4, ("I", "H", "HHI", "I"))
        elif version == _BIG:
            yield from _entries(data, order, 8, ("Q", "Q", "HHQ", "Q"))
    except struct.error:
        return


def _entries(data: bytes, order: str, at: int, shapes: tuple[str, ...]) -> Iterator[_Entry]:
    """`shapes`: of the place of the directory, which stands at `at`; its length; entry, value."""
    place, number, entry, value = (struct.Struct(order + each) for each in shapes)
    short = struct.Struct(order + "H")
    (directory,) = place.unpack_from(data, at)
    (entries,) = number.unpack_from(data, directory)
    first, size = directory + number.size, entry.size + value.size
    last = min(first + entries * size, len(data) - size + 1)
    for position in range(first, last, size):
        tag, kind, count = entry.unpack_from(data, position)
        read = short if kind == _SHORT else value
        yield tag, kind, count, read.unpack_from(data, position + entry.size)[0]
