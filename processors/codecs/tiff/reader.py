"""Header of a TIFF, and decoder of its first page."""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from processors.codecs.exif import read_exif
from processors.codecs.formats import TIFF
from processors.codecs.header import Header, Space, check_limits, check_metadata, valid_orientation
from processors.codecs.tiff.colours import channels_of, coloured, in_bgr
from processors.codecs.tiff.directory import Directory, count_pages, first_directory
from processors.codecs.tiff.fax import fax_samples
from processors.codecs.tiff.jpegs import check_scans, jpeg_samples, webp_samples
from processors.codecs.tiff.layout import Layout, layout_of, size_of
from processors.codecs.tiff.libtiff import Rows
from processors.codecs.tiff.names import Photometric, Tag
from processors.codecs.tiff.samples import Samples, blocks_of, samples_of
from processors.codecs.tiff.segments import (
    Place,
    check_stored,
    groups,
    row_bytes,
    stored_rows,
    unpacked,
)
from processors.errors import TooManyPixels, UnsupportedFormat
from processors.image import Pixels
from processors.settings import Limits

_SPACES: dict[Photometric, Space] = {
    "grey": "grey",
    "white is zero": "grey",
    "cmyk": "cmyk",
    "cielab": "lab",
    "icclab": "lab",
}
# Offsets and tables that decoding needs; they grow with the image and do not count as metadata.
_STRUCTURE = {
    Tag.OFFSETS,
    Tag.BYTES,
    Tag.FREE_OFFSETS,
    Tag.FREE_BYTES,
    Tag.COLOUR_MAP,
    Tag.TILE_OFFSETS,
    Tag.TILE_BYTES,
    Tag.JPEG_TABLES,
}
# Photometric interpretations of camera RAW: colour filter array, linear raw.
_FILTERED = {32803, 34892}
_REDUCED = 1
_BYTE = 8
# Tiles may extend beyond the right and lower edge of the image.
_MAX_OVERHANG = 4
_BAND_PIXELS = 1 << 18
_BAND_ROWS = 4  # the tallest block of YCbCr


def read_tiff(data: bytes, limits: Limits) -> Header:
    """Read the header of a TIFF's first page; raises Refused."""
    fields = first_directory(data)
    metadata = _metadata_bytes(fields)
    check_metadata(metadata, limits)
    if _is_raw(fields):
        raise UnsupportedFormat("camera RAW is not supported", value="camera RAW")
    check_limits(*size_of(fields), 1, limits)
    layout = layout_of(fields)
    _check_overhang(layout, limits)
    check_stored(layout)
    check_scans(layout, limits)
    return Header(
        format=TIFF,
        width=layout.width,
        height=layout.height,
        frames=count_pages(data),
        orientation=valid_orientation(fields.number(Tag.ORIENTATION, 1)),
        has_alpha=layout.alpha != "none",
        space=_SPACES.get(layout.photometric, "rgb"),
        icc=fields.raw(Tag.ICC_PROFILE) or None,
        data=data,
        bit_depth=layout.bits,
        metadata_bytes=metadata,
        exif=read_exif(data),
        reader="tiff",
    )


def decode_tiff(header: Header, *, deep: bool) -> Pixels:
    """Decode to BGR or BGRA as stored, not oriented; 8 bits a sample, or 16 if `deep`.

    CMYK and Lab are converted to sRGB; other colours stay in the space of the profile. Raises
    Truncated if a strip or tile does not hold all of its rows, Undecodable, UnsupportedFormat,
    MemoryError.
    """
    layout = layout_of(first_directory(header.data))
    kind = np.uint16 if deep else np.uint8
    pixels = np.zeros((0, 0, 0), kind)
    for group in groups(layout):
        for place, top, samples in _samples(layout, group):
            if not pixels.size:
                # Allocated after the first strip: decompressing one strip needs twice its size for
                # a moment, and that memory is free again by now.
                pixels = np.zeros((layout.height, layout.width, channels_of(layout)), kind)
            _put(pixels, place.left, place.top + top, coloured(layout, samples, deep=deep))
    if layout.alpha == "guessed" and not pixels[:, :, -1].any():
        # An invisible picture makes no sense, so the extra sample is not alpha.
        pixels[:, :, -1] = np.iinfo(kind).max
    return in_bgr(layout, pixels, header.icc)


def _put(pixels: Pixels, left: int, top: int, part: Samples) -> None:
    """Write a part of the image; pixels outside of the image are dropped."""
    height, width = pixels.shape[0] - top, pixels.shape[1] - left
    kept = part[: max(0, height), :width]
    pixels[top : top + len(kept), left : left + kept.shape[1]] = kept


def _samples(layout: Layout, group: Sequence[Place]) -> Iterator[tuple[Place, int, Samples]]:
    """Yield the samples of a group in bands of rows: place, first row, samples."""
    match layout.compression:
        case "jpeg" | "old jpeg":
            for place in group:
                planes = [jpeg_samples(layout, place, each) for each in range(layout.planes)]
                yield from _cut(place, _side_by_side(planes))
        case "webp":
            for place in group:
                yield from _cut(place, webp_samples(layout, place))
        case "ccitt rle" | "ccitt rle words" | "group 3" | "group 4":
            for place, rows in zip(group, fax_samples(layout, group), strict=True):
                yield from _cut(place, rows)
        case _:
            yield from _unpacked_samples(layout, group)


def _unpacked_samples(
    layout: Layout, group: Sequence[Place]
) -> Iterator[tuple[Place, int, Samples]]:
    readers = unpacked(layout, group)
    width, rows = row_bytes(layout, group[0]), stored_rows(layout, group[0])
    for place in group:
        own = list(islice(readers, layout.planes))
        step = _band_rows(place)
        for top in range(0, rows, step):
            part = [_read(each, top, min(step, rows - top), width) for each in own]
            if layout.subsampling == (1, 1):
                made = _side_by_side([samples_of(layout, each, place.columns) for each in part])
                yield place, top, made
            else:
                blocks = blocks_of(layout, part[0], place.columns)
                first = top * layout.subsampling[1]
                yield place, first, blocks[: place.rows - first]


def _read(rows: Rows, top: int, number: int, width: int) -> NDArray[np.uint8]:
    return np.frombuffer(rows.read(top, number), np.uint8, number * width).reshape(number, width)


def _cut(place: Place, samples: Samples) -> Iterator[tuple[Place, int, Samples]]:
    step = _band_rows(place)
    for top in range(0, len(samples), step):
        yield place, top, samples[top : top + step]


def _band_rows(place: Place) -> int:
    return max(1, _BAND_PIXELS // place.columns // _BAND_ROWS) * _BAND_ROWS


def _side_by_side(planes: Sequence[Samples]) -> Samples:
    return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)


def _check_overhang(layout: Layout, limits: Limits) -> None:
    """Raise TooManyPixels for tiles that hold far more pixels than the image."""
    stored = layout.across * layout.segment_width * layout.down * layout.segment_height
    if layout.tiled and stored > _MAX_OVERHANG * limits.max_pixels:
        raise TooManyPixels(
            f"tiles of {stored} pixels in all, the limit is {_MAX_OVERHANG * limits.max_pixels}",
            limit=_MAX_OVERHANG * limits.max_pixels,
            value=stored,
        )


def _metadata_bytes(fields: Directory) -> int:
    """Size of all values of a directory except pixel offsets and decoding tables, in bytes.

    A value counts with its declared size, but at most with the size of the file.
    """
    kept = (entry.size for tag, entry in fields.entries.items() if tag not in _STRUCTURE)
    return sum(min(len(fields.data), size) for size in kept)


def _is_raw(fields: Directory) -> bool:
    """True for camera RAW: DNG, NEF, ARW, PEF and similar formats.

    The first directory of such a file is often a thumbnail, not the photograph.
    """
    thumbnail = fields.number(Tag.SUBFILE, 0) == _REDUCED and Tag.SUB_IFDS in fields.entries
    filtered = fields.number(Tag.PHOTOMETRIC, 0) in _FILTERED
    return thumbnail or filtered or Tag.DNG_VERSION in fields.entries
