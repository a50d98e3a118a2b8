"""The first directory of a TIFF, entry by entry: how much of it is metadata."""

import struct

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


def metadata_bytes(data: bytes) -> int:
    """Bytes of the values in the first directory but for the places of pixels; 0 if unreadable.

    A value counts as long as it says it is, and no longer than the file.
    """
    order = "<" if data.startswith(b"II") else ">"
    try:
        (version,) = struct.unpack_from(order + "H", data, 2)
        if version == _CLASSIC:
            return _sum(data, 4, [struct.Struct(order + each) for each in ("I", "H", "HHI4x")])
        if version == _BIG:
            return _sum(data, 8, [struct.Struct(order + each) for each in ("Q", "Q", "HHQ8x")])
    except struct.error:
        return 0
    return 0


def _sum(data: bytes, at: int, shapes: list[struct.Struct]) -> int:
    """`shapes`: of the place of the directory, which stands at `at`, of its length, of an entry."""
    place, number, entry = shapes
    (directory,) = place.unpack_from(data, at)
    (entries,) = number.unpack_from(data, directory)
    first = directory + number.size
    last = min(first + entries * entry.size, len(data) - entry.size + 1)
    found = 0
    for position in range(first, last, entry.size):
        tag, kind, count = entry.unpack_from(data, position)
        if tag not in _STRUCTURE:
            found += min(len(data), count * _TYPE_BYTES.get(kind, 1))
    return found
