"""Small files of every format and layout."""

import itertools
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.fuzz.seeds import seeds

_DEFLATE = 8


def files() -> dict[str, bytes]:
    """Files by name: the fuzzer's seeds, whole and cut to two thirds, and TIFF in every layout."""
    whole = {f"seed {at}": data for at, data in enumerate(seeds())}
    cut = {f"{name}, cut": data[: len(data) * 2 // 3] for name, data in whole.items()}
    return {**whole, **cut, **dict(_tiffs())}


def planes_of_16_bits(side: int = 256) -> bytes:
    """TIFF of RGB with 16 bits in three deflated planes, of which OpenCV wrote only one."""
    return _tiff(_pixels(side, 3, deep=True), planar=True, packed=True, order="<")


def _tiffs() -> Iterator[tuple[str, bytes]]:
    for samples, deep, planar, packed, order in itertools.product(
        (1, 2, 3, 4), (False, True), (False, True), (False, True), "<>"
    ):
        name = f"tiff {samples} x {16 if deep else 8}, {planar=}, {packed=}, {order}"
        pixels = _pixels(32, samples, deep=deep)
        yield name, _tiff(pixels, planar=planar, packed=packed, order=order)


def _pixels(side: int, samples: int, *, deep: bool) -> NDArray[np.unsignedinteger]:
    rows, columns = np.mgrid[0:side, 0:side]
    ramp = (rows[..., None] * 3 + columns[..., None] * np.arange(1, samples + 1)) % 256
    pixels: NDArray[np.unsignedinteger] = ramp.astype(np.uint16 if deep else np.uint8)
    return pixels * 257 if deep else pixels


def _tiff(pixels: NDArray[np.unsignedinteger], *, planar: bool, packed: bool, order: str) -> bytes:
    """TIFF of one strip, or of one strip for each plane."""
    height, width, samples = pixels.shape
    swapped = pixels.astype(f"{order}u{pixels.dtype.itemsize}")
    planes = [swapped[:, :, at] for at in range(samples)] if planar else [swapped]
    parts = [each.tobytes() for each in planes]
    strips = [zlib.compress(each) if packed else each for each in parts]
    body = b"".join(strips)
    places = list(itertools.accumulate((len(each) for each in strips[:-1]), initial=8))
    tags = {
        256: [width],
        257: [height],
        258: [8 * pixels.dtype.itemsize] * samples,
        259: [_DEFLATE if packed else 1],
        262: [2 if samples > 2 else 1],
        273: places,
        277: [samples],
        278: [height],
        279: [len(each) for each in strips],
        284: [2 if planar else 1],
        **({338: [2]} if samples in {2, 4} else {}),
    }
    return _with_directory(tags, body, order)


def _with_directory(tags: dict[int, list[int]], body: bytes, order: str) -> bytes:
    """TIFF of header, pixels, values that are too long for their entries, and directory."""
    entries = b""
    out = bytearray(body)
    for tag, values in sorted(tags.items()):
        raw = b"".join(struct.pack(f"{order}I", value) for value in values)
        if len(raw) > 4:
            place = 8 + len(out)
            out += raw
            raw = struct.pack(f"{order}I", place)
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + raw
    magic = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(out))
    count = struct.pack(f"{order}H", len(tags))
    return magic + bytes(out) + count + entries + bytes(4)
