"""JPEG and WebP within TIFF: each strip or tile a picture of its own, by OpenCV.

What its markers say of colours does not count, the TIFF does.
"""

import io
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin

from processors.errors import Undecodable
from processors.shortage import memory_or
from processors.tiff.layout import Layout, unsupported
from processors.tiff.names import Tag
from processors.tiff.segments import Place, packed
from processors.webp import read_webp

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_START_OF_SCAN = 0xDA
# Huffman or arithmetic codes, sequential or progressive; by the byte behind 0xFF.
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_OTHER_FRAMES = {
    0xC3: "lossless JPEG",
    0xCB: "lossless JPEG",
    0xC7: "lossless JPEG",
    0xC5: "hierarchical JPEG",
    0xC6: "hierarchical JPEG",
    0xCD: "hierarchical JPEG",
    0xCE: "hierarchical JPEG",
    0xCF: "hierarchical JPEG",
}
_ALONE = {0x01, *range(0xD0, 0xD9)}
_APPLICATIONS = {*range(0xE0, 0xF0), 0xFE}
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
_BYTE = 8
_FRAME_BYTES = 5
_GREY, _COLOURS, _FOUR = 1, 3, 4
_MAX_SEGMENTS = 1000


def jpeg_samples(layout: Layout, place: Place, plane: int) -> NDArray[np.uint8]:
    """A place of one plane as rows x columns x samples; YCbCr comes as RGB.

    libjpeg tells on standard error what it had to guess. Raises Truncated, Undecodable,
    UnsupportedFormat.
    """
    data = _old_jpeg(layout) if layout.compression == "old jpeg" else _jpeg(layout, place, plane)
    return _decoded(data, layout.samples_together)[: place.rows]


def webp_samples(layout: Layout, place: Place) -> NDArray[np.uint8]:
    """A place as rows x columns x 3 or 4. Raises Truncated, Undecodable."""
    data = bytes(packed(layout, place.indexes[0], 0))
    header = read_webp(data)
    _check_size((header.width, header.height), layout, place)
    flags = cv2.IMREAD_UNCHANGED if layout.samples_together == _FOUR else cv2.IMREAD_COLOR
    return _imdecoded(data, flags)[: place.rows]


def _jpeg(layout: Layout, place: Place, plane: int) -> bytes:
    """A strip or tile with the tables that all share, as a file of its own."""
    tables = layout.directory.raw(Tag.JPEG_TABLES)
    found = bytes(packed(layout, place.indexes[plane], 0))
    size = _Size()
    shared = b"".join(_kept(tables, size)) if tables.startswith(_SOI) else b""
    own = b"".join(_kept(found, size))
    _check_size(size.said, layout, place)
    if size.samples != layout.samples_together:
        raise Undecodable(f"JPEG of {size.samples} samples, TIFF says {layout.samples_together}")
    return _SOI + _colours(layout, size.samples) + shared + own + _EOI


def _old_jpeg(layout: Layout) -> bytes:
    """The only strip of a TIFF 6.0 file: JPEG of its own, wherever the directory says it lies."""
    fields = layout.directory
    at = fields.number(Tag.OLD_JPEG_AT, int(layout.offsets[0]) if layout.offsets.size else 0)
    found = layout.directory.data[at:]
    if layout.across * layout.down > 1 or layout.planar or not found.startswith(_SOI):
        raise unsupported("old-style JPEG in parts")
    size = _Size()
    own = b"".join(_kept(found, size))
    if size.said != (layout.width, layout.height) or size.samples != layout.samples_together:
        raise unsupported("old-style JPEG in parts")
    return _SOI + _colours(layout, size.samples) + own + _EOI


class _Size:
    """What the frame header of a JPEG says; nothing yet, until it was met."""

    def __init__(self) -> None:
        self.said = (0, 0)
        self.samples = 0


def _kept(data: bytes, size: _Size) -> Iterator[bytes]:
    """The segments of a JPEG without those of applications, and its scans as they are."""
    at = len(_SOI)
    for _ in range(_MAX_SEGMENTS):
        while data[at : at + 2] == b"\xff\xff":
            at += 1  # padding
        if at + 4 > len(data) or data[at] != 0xFF:  # noqa: PLR2004 - every marker starts so
            return
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _START_OF_SCAN:
            yield data[at:]
            return
        if marker in _ALONE:
            end = at + 2
        elif marker not in _APPLICATIONS:
            _read_frame(marker, data[at + 4 : end], size)
            yield data[at:end]
        at = end
    raise Undecodable(f"more than {_MAX_SEGMENTS} segments", limit=_MAX_SEGMENTS)


def _read_frame(marker: int, body: bytes, size: _Size) -> None:
    if name := _OTHER_FRAMES.get(marker):
        raise unsupported(name)
    if marker in _FRAMES and len(body) > _FRAME_BYTES:
        if body[0] != _BYTE:
            raise unsupported(f"{body[0]}-bit JPEG")
        height, width = (int.from_bytes(body[at : at + 2], "big") for at in (1, 3))
        size.said, size.samples = (width, height), body[5]


def _check_size(said: tuple[int, int], layout: Layout, place: Place) -> None:
    # The last strip may have been written with as many rows as the others.
    width, height = said
    if width != place.columns or not place.rows <= height <= layout.segment_height:
        raise Undecodable(f"a strip or tile of {width} x {height}, the header says otherwise")


def _colours(layout: Layout, samples: int) -> bytes:
    """A marker that tells libjpeg if three samples are YCbCr."""
    if samples != _COLOURS:
        return b""
    return _ADOBE + (b"\x01" if layout.photometric == "ycbcr" else b"\x00")


def _decoded(data: bytes, samples: int) -> NDArray[np.uint8]:
    if samples in {_GREY, _COLOURS}:
        grey = samples == _GREY
        return _imdecoded(data, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    if samples != _FOUR:
        raise unsupported(f"JPEG of {samples} samples")
    # Pillow gives four samples as they are and keeps warnings to itself; OpenCV does neither.
    _imdecoded(data, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
            # It takes all inks for those of one program, which are the wrong way round.
            return 255 - np.asarray(image, np.uint8)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise anything on bad bytes
        raise Undecodable("a strip or tile of JPEG does not decode") from error


def _imdecoded(data: bytes, flags: int) -> NDArray[np.uint8]:
    """Grey, RGB or RGBA."""
    wanted = flags if flags == cv2.IMREAD_UNCHANGED else flags | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        found: Any = cv2.imdecode(np.frombuffer(data, np.uint8), wanted)
    except cv2.error as error:
        raise memory_or(
            error, Undecodable("a strip or tile of JPEG or WebP does not decode")
        ) from error
    if found is None or found.dtype != np.uint8:
        raise Undecodable("a strip or tile of JPEG or WebP does not decode")
    if found.ndim == 2:  # noqa: PLR2004 - rows and columns, and no channels
        grey: NDArray[np.uint8] = found[:, :, np.newaxis]
        return grey
    order = [2, 1, 0, 3][: found.shape[2]]
    coloured: NDArray[np.uint8] = found[:, :, order]
    return coloured
