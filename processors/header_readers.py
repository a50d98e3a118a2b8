"""One reader a format, each from bytes to `Header`; the explicit table is at the end.

JPEG, AVIF, TIFF and BMP are read by Pillow's plugins, opened lazily and one by name, never by
trying; the others by modules of their own.
"""

import io
from collections.abc import Callable
from dataclasses import replace

from PIL import AvifImagePlugin, BmpImagePlugin, JpegImagePlugin, TiffImagePlugin
from PIL.ImageFile import ImageFile

from processors import bmff, jpeg, tiff
from processors.errors import Refused, Undecodable, UnsupportedFormat
from processors.exif import read_exif
from processors.formats import AVIF, BMP, GIF, HEIC, JPEG, PNG, TIFF, WEBP, Format
from processors.gif import read_gif
from processors.header import (
    ORIENTATION_TAG,
    Header,
    Reader,
    Space,
    check_limits,
    check_metadata,
    exif_orientation,
    valid_orientation,
)
from processors.heif import read_heic
from processors.png import read_png
from processors.settings import Limits
from processors.webp import read_webp

_SPACES: dict[str, Space] = {
    "1": "grey",
    "L": "grey",
    "LA": "grey",
    "I;16": "grey",
    "I;16B": "grey",
    "CMYK": "cmyk",
    "LAB": "lab",
}
_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}
_WIDTH_TAG, _HEIGHT_TAG, _BITS_TAG, _PLANES_TAG = 256, 257, 258, 284
_SEPARATE = 2
_8_BITS = 8


def read_header(data: bytes, found: Format, limits: Limits) -> Header:
    """The header of a file of that format, within the limits; no pixel is decoded.

    Raises Truncated, Undecodable, UnsupportedFormat, SideTooLong, TooManyPixels, TooMuchMetadata.
    """
    try:
        header = READERS[found.name](data, limits)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # Pillow's parsers raise anything on a bad file
        raise Undecodable(f"the {found.name} header does not parse") from error
    check_limits(header.width, header.height, header.frames, limits)
    check_metadata(header.metadata_bytes, limits)
    return header


def _read_jpeg(data: bytes, limits: Limits) -> Header:
    # Before Pillow takes it all to pieces.
    metadata = jpeg.metadata_bytes(data)
    check_metadata(metadata, limits)
    # The class and not Image.open: a phone's multi-picture file is its first picture here.
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
        return _header(JPEG, data, image, limits, metadata=metadata)


def _read_bmp(data: bytes, limits: Limits) -> Header:
    with BmpImagePlugin.BmpImageFile(io.BytesIO(data)) as image:
        return _header(BMP, data, image, limits)


def _read_avif(data: bytes, limits: Limits) -> Header:
    # Pillow gives the container's turn and mirror, which is what counts here, as EXIF.
    with AvifImagePlugin.AvifImageFile(io.BytesIO(data)) as image:
        header = _header(AVIF, data, image, limits, animated=True)
    moves = header.frames > 1
    return replace(
        header,
        bit_depth=bmff.avif_depth(data),
        duration_ms=bmff.duration_ms(data) if moves else None,
    )


def _read_tiff(data: bytes, limits: Limits) -> Header:
    metadata = tiff.metadata_bytes(data)
    check_metadata(metadata, limits)
    if tiff.is_raw(data):
        raise UnsupportedFormat("camera RAW is not taken", value="camera RAW")
    with TiffImagePlugin.TiffImageFile(io.BytesIO(data)) as image:
        tags = image.tag_v2
        if image.mode in {"F", "I"}:
            raise UnsupportedFormat("TIFF of 32 bits a sample is not taken", value="32-bit TIFF")
        if tags.get(_PLANES_TAG) == _SEPARATE and max(tags.get(_BITS_TAG) or (1,)) > _8_BITS:
            # OpenCV writes the first plane alone; the rest of its memory holds other images.
            raise UnsupportedFormat("planar TIFF of 16 bits is not taken", value="planar TIFF")
        # Pillow swaps the sides of a turned TIFF; the tags say how it is stored.
        size = (int(tags[_WIDTH_TAG]), int(tags[_HEIGHT_TAG]))
        turn = valid_orientation(tags.get(ORIENTATION_TAG))
        header = _header(
            TIFF,
            data,
            image,
            limits,
            size=size,
            orientation=turn,
            animated=True,
            metadata=metadata,
        )
        depth = max(tags.get(_BITS_TAG) or (1,))
        return replace(header, bit_depth=depth, exif=read_exif(data))


def _header(
    found: Format,
    data: bytes,
    image: ImageFile,
    limits: Limits,
    *,
    size: tuple[int, int] | None = None,
    orientation: int | None = None,
    animated: bool = False,
    metadata: int | None = None,
) -> Header:
    width, height = size or image.size
    # Before anything else of the file is read: counting frames walks all of it.
    check_limits(width, height, 1, limits)
    exif, xmp, profile = (_block(image, name) for name in ("exif", "xmp", "icc_profile"))
    if orientation is None:
        orientation = exif_orientation(exif)
    space = _SPACES.get(image.mode, "rgb")
    return Header(
        format=found,
        width=width,
        height=height,
        frames=int(getattr(image, "n_frames", 1)) if animated else 1,
        orientation=orientation,
        has_alpha=image.mode in _ALPHA_MODES,
        space=space,
        reader=_reader(found, space),
        icc=profile or None,
        data=data,
        metadata_bytes=len(exif) + len(xmp) + len(profile) if metadata is None else metadata,
        exif=read_exif(exif),
    )


def _reader(found: Format, space: Space) -> Reader:
    return "pillow" if found in {TIFF, BMP} or space in {"cmyk", "lab"} else "opencv"


def _block(image: ImageFile, name: str) -> bytes:
    found = image.info.get(name)
    return found if isinstance(found, bytes) else b""


READERS: dict[str, Callable[[bytes, Limits], Header]] = {
    JPEG.name: _read_jpeg,
    PNG.name: lambda data, _: read_png(data),
    WEBP.name: lambda data, _: read_webp(data),
    GIF.name: lambda data, _: read_gif(data),
    AVIF.name: _read_avif,
    HEIC.name: read_heic,
    TIFF.name: _read_tiff,
    BMP.name: _read_bmp,
}
