"""Conversion of the decompressed bytes of a segment to samples: rows x columns x samples."""

import numpy as np
from numpy.typing import NDArray

from processors.codecs.tiff.layout import Layout

Samples = NDArray[np.uint8 | np.uint16]

_BYTE, _TWO_BYTES = 8, 16


def samples_of(layout: Layout, rows: NDArray[np.uint8], columns: int) -> Samples:
    """Convert rows of bytes to rows x columns x samples, in the range of their bit depth."""
    together = layout.samples_together
    numbers = _numbers(layout, rows)[:, : columns * together]
    samples = numbers.reshape(len(rows), columns, together)
    if layout.predicted:
        # The predictor stored each pixel as its difference from the pixel to the left.
        np.add.accumulate(samples, axis=1, dtype=samples.dtype, out=samples)
    return samples


def blocks_of(layout: Layout, rows: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Convert rows of subsampled YCbCr blocks (several Y, one Cb, one Cr) to rows x columns x 3."""
    horizontal, vertical = layout.subsampling
    across = -(-columns // horizontal)
    blocks = rows.reshape(len(rows), across, horizontal * vertical + 2)
    bright = blocks[:, :, :-2].reshape(len(rows), across, vertical, horizontal)
    made = np.empty((len(rows), vertical, across, horizontal, 3), np.uint8)
    made[..., 0] = bright.transpose(0, 2, 1, 3)
    made[..., 1:] = blocks[:, np.newaxis, :, np.newaxis, -2:]
    return made.reshape(len(rows) * vertical, across * horizontal, 3)[:, :columns]


def full_range(samples: Samples, bits: int) -> Samples:
    """Scale samples so that white is 255, or 65,535 for more than 8 bits."""
    if bits in {_BYTE, _TWO_BYTES}:
        return samples
    white = (1 << bits) - 1
    if bits < _BYTE:
        scale = (np.arange(white + 1) * 255 + white // 2) // white
        return scale.astype(np.uint8)[samples]
    wide = samples.astype(np.uint16, copy=False)
    made = wide << (_TWO_BYTES - bits) | wide >> (2 * bits - _TWO_BYTES)
    return made.astype(np.uint16, copy=False)


def _numbers(layout: Layout, rows: NDArray[np.uint8]) -> Samples:
    """All numbers of each row, including padding of its last byte; the caller may change them."""
    bits = layout.bits
    if bits == _BYTE:
        return rows.copy() if layout.predicted else rows
    if bits == _TWO_BYTES:
        wide = np.ascontiguousarray(rows).view(np.uint16)
        if not layout.native:
            return wide.byteswap()
        return wide.copy() if layout.predicted else wide
    if bits == 1:
        return np.unpackbits(rows, axis=1)
    if _BYTE % bits == 0:
        shifts = np.arange(_BYTE - bits, -1, -bits, dtype=np.uint8)
        parts = rows[:, :, np.newaxis] >> shifts & np.uint8((1 << bits) - 1)
        return parts.reshape(len(rows), -1)
    return _odd_numbers(rows, bits)


def _odd_numbers(rows: NDArray[np.uint8], bits: int) -> Samples:
    """Numbers whose bit depth does not divide 8; most significant bit first."""
    each = np.unpackbits(rows, axis=1)
    whole = each.shape[1] // bits
    parts = each[:, : whole * bits].reshape(len(rows), whole, bits)
    kind = np.uint8 if bits < _BYTE else np.uint16
    made = np.zeros((len(rows), whole), kind)
    for bit in range(bits):
        made <<= 1
        made |= parts[:, :, bit]
    return made
