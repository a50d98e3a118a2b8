"""Header and pixels of a BMP."""

import numpy as np
from numpy.typing import NDArray

from processors.codecs.bmp.info import Info, info_of
from processors.codecs.bmp.runs import indices_of
from processors.codecs.formats import BMP
from processors.codecs.header import UPRIGHT, Header, check_limits, check_metadata
from processors.errors import Truncated
from processors.image import BGR, BGRA
from processors.settings import Limits

_BYTE = 8
_TRUE_COLOURS = 24
# Pixels converted at once, so that the copies need little memory.
_BAND_PIXELS = 1 << 18


def read_bmp(data: bytes, limits: Limits) -> Header:
    """Read the header of a BMP; raises Refused."""
    info = info_of(data)
    check_limits(info.width, info.height, 1, limits)
    check_metadata(len(info.icc), limits)
    colours = info.palette[: info.colours]
    grey = info.bits <= _BYTE and not info.icc and bool((colours == colours[:, :1]).all())
    return Header(
        format=BMP,
        width=info.width,
        height=info.height,
        frames=1,
        orientation=UPRIGHT,
        has_alpha=_is_transparent(data, info),
        space="grey" if grey else "rgb",
        icc=info.icc or None,
        data=data,
        bit_depth=max(_BYTE, *(mask.bit_count() for mask in info.masks)),
        metadata_bytes=len(info.icc),
        reader="bmp",
    )


def decode_bmp(header: Header) -> NDArray[np.uint8]:
    """Decode to BGR or BGRA, top row first. Raises Truncated, Undecodable, MemoryError."""
    info = info_of(header.data)
    shape = (info.height, info.width, BGRA if header.has_alpha else BGR)
    pixels = np.zeros(shape, np.uint8)
    rows = _rows(header.data, info)
    step = max(1, _BAND_PIXELS // info.width)
    for top in range(0, info.height, step):
        pixels[top : top + step] = _coloured(info, rows[top : top + step], shape[2])
    return pixels if info.top_down else pixels[::-1]


def _rows(data: bytes, info: Info) -> NDArray[np.uint8]:
    """Rows of bytes as stored; rows of palette indices if the file is run-length encoded."""
    if info.compression in {"rle8", "rle4"}:
        halves = info.compression == "rle4"
        indices = indices_of(data, info.place, info.width, info.height, halves=halves)
        return np.frombuffer(indices, np.uint8).reshape(info.height, info.width)
    used = -(-info.width * info.bits // _BYTE)
    size = info.row_bytes * (info.height - 1) + used
    if info.place + size > len(data):
        raise Truncated("the file ends before its pixels do")
    # The padding of the last row may be missing.
    flat = np.frombuffer(data, np.uint8, size, info.place)
    return np.lib.stride_tricks.as_strided(flat, (info.height, used), (info.row_bytes, 1))


def _coloured(info: Info, rows: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    if info.compression in {"rle8", "rle4"}:
        return info.palette[rows]
    if info.bits <= _BYTE:
        return info.palette[_indices(rows, info.bits)[:, : info.width]]
    if info.bits == _TRUE_COLOURS:
        return rows.reshape(len(rows), info.width, BGR)
    numbers = np.ascontiguousarray(rows).view(f"<u{info.bits // _BYTE}")
    red, green, blue, alpha = info.masks
    masks = (blue, green, red, alpha)[:channels]
    return np.stack([_channel(numbers, mask) for mask in masks], axis=2)


def _indices(rows: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    if bits == _BYTE:
        return rows
    shifts = np.arange(_BYTE - bits, -1, -bits, dtype=np.uint8)
    parts = rows[:, :, np.newaxis] >> shifts & np.uint8((1 << bits) - 1)
    return parts.reshape(len(rows), -1)


def _channel(numbers: NDArray[np.unsignedinteger], mask: int) -> NDArray[np.uint8]:
    """Value of one channel by its mask, scaled to 0 to 255."""
    if not mask:
        return np.zeros(numbers.shape, np.uint8)
    lowest = (mask & -mask).bit_length() - 1
    values = (numbers & mask) >> lowest
    bits = mask.bit_count()
    if bits >= _BYTE:
        return (values >> (bits - _BYTE)).astype(np.uint8)
    white = (1 << bits) - 1
    scale = ((np.arange(white + 1) * 255 + white // 2) // white).astype(np.uint8)
    scaled: NDArray[np.uint8] = scale[values]
    return scaled


def _is_transparent(data: bytes, info: Info) -> bool:
    """True if the file has an alpha mask and some alpha is not 0; unused alpha is always 0."""
    mask = info.masks[-1]
    if not mask:
        return False
    rows = np.ascontiguousarray(_rows(data, info))
    return bool((rows.view(f"<u{info.bits // _BYTE}") & mask).any())
