"""JPEG and WebP within TIFF: OpenCV decodes each strip or tile as a picture of its own.

The colour space is that of the TIFF; colour markers inside the JPEG are removed.
"""

import io
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin

from processors.codecs.header import Header, Space
from processors.codecs.jpeg import read_jpeg
from processors.codecs.jpeg_scans import ALONE, ARITHMETIC, SOS
from processors.codecs.tiff.layout import Layout, unsupported
from processors.codecs.tiff.names import Tag
from processors.codecs.tiff.segments import Place, packed
from processors.codecs.webp import read_webp
from processors.errors import TooManyScans, Undecodable
from processors.settings import Limits
from processors.shortage import memory_or

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SCAN = bytes((0xFF, SOS))
_APPLICATIONS = {*range(0xE0, 0xF0), 0xFE}
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
_GREY, _COLOURS, _FOUR = 1, 3, 4
_SAMPLES: dict[Space, int] = {"grey": _GREY, "rgb": _COLOURS, "cmyk": _FOUR, "lab": _COLOURS}
_MAX_SEGMENTS = 1000
# The limits were checked for the whole picture, so a strip needs no check.
_ANY = Limits(max_pixels=1_000_000_000, max_side=65_535, max_scan_pixels=1_000_000_000_000)


def jpeg_samples(layout: Layout, place: Place, plane: int) -> NDArray[np.uint8]:
    """Decode one plane of a strip or tile to rows x columns x samples; YCbCr becomes RGB.

    libjpeg warns on standard error about data that it had to guess. Raises Truncated, Undecodable,
    UnsupportedFormat.
    """
    old = layout.compression == "old jpeg"
    header = _old_jpeg(layout) if old else _jpeg(layout, place, plane)
    return _decoded(header, layout.samples_together)[: place.rows]


def webp_samples(layout: Layout, place: Place) -> NDArray[np.uint8]:
    """Decode a strip or tile to rows x columns x 3 or 4. Raises Truncated, Undecodable."""
    data = bytes(packed(layout, place.indexes[0], 0))
    header = read_webp(data)
    _check_size((header.width, header.height), layout, place)
    flags = cv2.IMREAD_UNCHANGED if layout.samples_together == _FOUR else cv2.IMREAD_COLOR
    return _imdecoded(data, flags)[: place.rows]


def check_scans(layout: Layout, limits: Limits) -> None:
    """Count the pixels that all JPEG scans visit; raises TooManyScans beyond the limit."""
    if layout.compression not in {"jpeg", "old jpeg"}:
        return
    if layout.compression == "old jpeg":
        visited = layout.directory.data.count(_SCAN) * layout.width * layout.height
    else:
        area = layout.segment_width * layout.segment_height
        needed = range(layout.across * layout.down * layout.planes)
        visited = area * sum(bytes(packed(layout, each, 0)).count(_SCAN) for each in needed)
    if visited > limits.max_scan_pixels:
        raise TooManyScans(
            f"scans of {visited} pixels in all, the limit is {limits.max_scan_pixels}",
            limit=limits.max_scan_pixels,
            value=visited,
        )


def _jpeg(layout: Layout, place: Place, plane: int) -> Header:
    """Build a JPEG file of one strip or tile and the shared tables; return its header."""
    tables = layout.directory.raw(Tag.JPEG_TABLES)
    shared = b"".join(_kept(tables)) if tables.startswith(_SOI) else b""
    own = b"".join(_kept(bytes(packed(layout, place.indexes[plane], 0))))
    header = read_jpeg(_SOI + _colours(layout) + shared + own + _EOI, _ANY)
    _check_size((header.width, header.height), layout, place)
    return header


def _old_jpeg(layout: Layout) -> Header:
    """Build a JPEG file of the only strip of an old-style (TIFF 6.0) file; return its header."""
    fields = layout.directory
    at = fields.number(Tag.OLD_JPEG_AT, int(layout.offsets[0]) if layout.offsets.size else 0)
    stream = fields.data[at:]
    if layout.across * layout.down > 1 or layout.planar or not stream.startswith(_SOI):
        raise unsupported("old-style JPEG in parts")
    header = read_jpeg(_SOI + _colours(layout) + b"".join(_kept(stream)) + _EOI, _ANY)
    if (header.width, header.height) != (layout.width, layout.height):
        raise unsupported("old-style JPEG in parts")
    return header


def _kept(data: bytes) -> Iterator[bytes]:
    """Yield the segments of a JPEG without application segments; its scans unchanged."""
    at = len(_SOI)
    for _ in range(_MAX_SEGMENTS):
        while data[at : at + 2] == b"\xff\xff":
            at += 1  # padding
        if at + 4 > len(data) or data[at] != 0xFF:  # noqa: PLR2004 - first byte of a marker
            return
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == SOS:
            yield data[at:]
            return
        if marker in ARITHMETIC:
            raise unsupported("JPEG in arithmetic coding")
        if marker in ALONE:
            end = at + 2
        elif marker not in _APPLICATIONS:
            yield data[at:end]
        at = end
    raise Undecodable(f"more than {_MAX_SEGMENTS} segments", limit=_MAX_SEGMENTS)


def _check_size(size: tuple[int, int], layout: Layout, place: Place) -> None:
    # Some writers give the last strip as many rows as the others.
    width, height = size
    if width != place.columns or not place.rows <= height <= layout.segment_height:
        raise Undecodable(f"a strip or tile of {width} x {height} does not fit the TIFF's header")


def _colours(layout: Layout) -> bytes:
    """Adobe marker that tells libjpeg whether three samples are YCbCr or RGB."""
    if layout.samples_together != _COLOURS:
        return b""
    return _ADOBE + (b"\x01" if layout.photometric == "ycbcr" else b"\x00")


def _decoded(header: Header, samples: int) -> NDArray[np.uint8]:
    if _SAMPLES[header.space] != samples:
        raise Undecodable(f"JPEG of {header.space}, the TIFF says {samples} samples")
    if samples != _FOUR:
        grey = samples == _GREY
        return _imdecoded(header.data, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    # Pillow returns four samples unchanged but hides libjpeg's warnings. OpenCV converts them but
    # prints the warnings, so OpenCV decodes a reduced copy for the warnings alone.
    _imdecoded(header.data, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(header.data)) as image:
            # Pillow inverts CMYK, because Adobe Photoshop stores inverted CMYK in JPEG. TIFF does
            # not, so the inversion is undone.
            return 255 - np.asarray(image, np.uint8)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise any exception on bad bytes
        raise Undecodable("a strip or tile of JPEG does not decode") from error


def _imdecoded(data: bytes, flags: int) -> NDArray[np.uint8]:
    """Decode with OpenCV to grey, RGB or RGBA."""
    wanted = flags if flags == cv2.IMREAD_UNCHANGED else flags | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        decoded: Any = cv2.imdecode(np.frombuffer(data, np.uint8), wanted)
    except cv2.error as error:
        raise memory_or(
            error, Undecodable("a strip or tile of JPEG or WebP does not decode")
        ) from error
    if decoded is None or decoded.dtype != np.uint8:
        raise Undecodable("a strip or tile of JPEG or WebP does not decode")
    if decoded.ndim == 2:  # noqa: PLR2004 - rows and columns, and no channels
        grey: NDArray[np.uint8] = decoded[:, :, np.newaxis]
        return grey
    order = [2, 1, 0, 3][: decoded.shape[2]]
    coloured: NDArray[np.uint8] = decoded[:, :, order]
    return coloured
