"""One reader a format, each from bytes to `Header`; the explicit table is at the end.

TIFF and BMP are read by Pillow's plugins, opened lazily and one by name, never by
trying; the others by modules of their own.
"""

import io
from collections.abc import Callable

from PIL import BmpImagePlugin
from PIL.ImageFile import ImageFile

from processors.avif import read_avif
from processors.errors import Refused, Undecodable
from processors.exif import read_exif
from processors.formats import AVIF, BMP, GIF, HEIC, JPEG, PNG, TIFF, WEBP, Format
from processors.gif import read_gif
from processors.header import (
    Header,
    Reader,
    Space,
    check_limits,
    check_metadata,
    exif_orientation,
)
from processors.heif import read_heic
from processors.jpeg import read_jpeg
from processors.png import read_png
from processors.settings import Limits
from processors.tiff.reader import read_tiff
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
    # Of pages and of a burst one image alone is decoded; frames lie on one canvas.
    counted = 1 if found in {TIFF, HEIC} else header.frames
    check_limits(header.width, header.height, counted, limits)
    check_metadata(header.metadata_bytes, limits)
    return header


def _read_bmp(data: bytes, limits: Limits) -> Header:
    with BmpImagePlugin.BmpImageFile(io.BytesIO(data)) as image:
        return _header(BMP, data, image, limits)


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
    return "pillow" if found is BMP or space in {"cmyk", "lab"} else "opencv"


def _block(image: ImageFile, name: str) -> bytes:
    found = image.info.get(name)
    return found if isinstance(found, bytes) else b""


READERS: dict[str, Callable[[bytes, Limits], Header]] = {
    JPEG.name: read_jpeg,
    PNG.name: lambda data, _: read_png(data),
    WEBP.name: lambda data, _: read_webp(data),
    GIF.name: lambda data, _: read_gif(data),
    AVIF.name: read_avif,
    HEIC.name: read_heic,
    TIFF.name: read_tiff,
    BMP.name: _read_bmp,
}
