"""Decompression of LZW, PackBits, Zstandard and fax codes by the libtiff inside Pillow.

The segments are copied into a new TIFF of the simplest layout: one grey channel, one strip below
another. So libtiff's handling of layouts, alpha and colours is not used.
"""

import io
import struct
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from processors.codecs.tiff.names import COMPRESSIONS, Compression, Tag
from processors.errors import Undecodable

_NUMBERS = {name: number for number, name in reversed(COMPRESSIONS.items())}
_SHORT, _LONG = 3, 4
_HEAD = struct.Struct("<2sHI")
_ENTRY = struct.Struct("<HHII")
_GREY = 1
_OUT_OF_MEMORY = -9  # error code of Pillow's decoders
# libtiff reads some fax codes word by word, so each strip starts at an aligned offset.
_ALIGNED = 4


def unpack(
    compression: Compression, packed: Sequence[memoryview | bytes], row_bytes: int, rows: int
) -> Iterator["Rows"]:
    """Decompress the segments and yield a reader for each.

    Raises Undecodable, also for a segment that is too short: libtiff fails for it.
    """
    written = _tiff(compression, packed, row_bytes, rows, bits=8)
    image = _loaded(written)
    for number in range(len(packed)):
        yield _Unpacked(image, number * rows, row_bytes)


class Rows(Protocol):
    """Reader of the rows of one segment; rows are read in order, each once."""

    def read(self, top: int, number: int) -> bytes | memoryview:
        """Read `number` rows from row `top` on. Raises Truncated, Undecodable."""


class _Unpacked:
    """Rows of one segment in the decompressed image; reads in parts, because Pillow copies them."""

    def __init__(self, image: Image.Image, first: int, width: int) -> None:
        self._image, self._first, self._width = image, first, width

    def read(self, top: int, number: int) -> bytes:
        above = self._first + top
        return self._image.crop((0, above, self._width, above + number)).tobytes()


def unpack_bits(
    compression: Compression,
    packed: Sequence[bytes],
    columns: int,
    rows: int,
    options: dict[int, int],
) -> NDArray[np.bool_]:
    """Decode fax codes to segments x rows x columns, True for black.

    `options` are fields of the directory by tag. Missing rows have arbitrary values, so the caller
    has to check that the codes hold all rows. Raises Undecodable.
    """
    written = _tiff(compression, packed, columns, rows, bits=1, options=options)
    black = np.asarray(_loaded(written), np.bool_)
    return black.reshape(len(packed), rows, columns)


def _loaded(written: bytes) -> TiffImagePlugin.TiffImageFile:
    try:
        # The class is used, because Image.open would apply Pillow's own limits.
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(written))
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise any exception on bad bytes
        if error.args[:1] == (_OUT_OF_MEMORY,):
            raise MemoryError("no memory to unpack a strip or tile") from error
        raise Undecodable("a strip or tile does not unpack to its rows") from error
    return image


def _tiff(
    compression: Compression,
    packed: Sequence[memoryview | bytes],
    width: int,
    rows: int,
    *,
    bits: int,
    options: dict[int, int] | None = None,
) -> bytes:
    """Write a TIFF of one grey channel whose strips are these segments."""
    number = len(packed)
    fields = {
        Tag.WIDTH: width,
        Tag.HEIGHT: rows * number,
        Tag.BITS: bits,
        Tag.COMPRESSION: _NUMBERS[compression],
        Tag.PHOTOMETRIC: _GREY,
        Tag.SAMPLES: 1,
        Tag.ROWS_PER_STRIP: rows,
        **(options or {}),
    }
    tables = _HEAD.size + 2 + _ENTRY.size * (len(fields) + 2) + 4
    first = _aligned(tables + 8 * number)
    lengths = np.array([len(each) for each in packed], np.int64)
    places = first + np.concatenate([[0], np.cumsum(-(-lengths // _ALIGNED) * _ALIGNED)])
    entries = {tag: (_LONG, 1, value) for tag, value in fields.items()}
    entries[Tag.OFFSETS] = _listed(places[:-1], tables)
    entries[Tag.BYTES] = _listed(lengths, tables + 4 * number)
    directory = b"".join(_ENTRY.pack(tag, *entries[tag]) for tag in sorted(entries))
    head = (
        _HEAD.pack(b"II", 42, _HEAD.size) + struct.pack("<H", len(entries)) + directory + bytes(4)
    )
    lists = places[:-1].astype("<u4").tobytes() + lengths.astype("<u4").tobytes()
    padded = (bytes(each) + bytes(-len(each) % _ALIGNED) for each in packed)
    return b"".join((head, lists, bytes(first - len(head) - len(lists)), *padded))


def _listed(values: NDArray[np.int64], at: int) -> tuple[int, int, int]:
    """Directory entry for these values; several values are stored at offset `at`."""
    return _LONG, values.size, int(values[0]) if values.size == 1 else at


def _aligned(place: int) -> int:
    return -(-place // _ALIGNED) * _ALIGNED
