"""One reader a format, each from bytes to `Header`; the explicit table is at the end."""

import io
from collections.abc import Callable

from PIL import AvifImagePlugin, BmpImagePlugin, GifImagePlugin, JpegImagePlugin, TiffImagePlugin
from PIL.ImageFile import ImageFile

from processors.errors import Refused, Undecodable, UnsupportedFormat
from processors.formats import AVIF, BMP, GIF, JPEG, PNG, TIFF, WEBP, Format
from processors.header import (
    ORIENTATION_TAG,
    UPRIGHT,
    Header,
    Space,
    check_limits,
    exif_orientation,
    valid_orientation,
)
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
_WIDTH_TAG, _HEIGHT_TAG = 256, 257
_SUBFILE_TAG, _SUB_IFDS_TAG, _DNG_VERSION_TAG = 254, 330, 50706
_REDUCED = 1


def read_header(data: bytes, found: Format, limits: Limits) -> Header:
    """The header of a file of that format, within the limits; no pixel is decoded.

    Raises Truncated, Undecodable, UnsupportedFormat, SideTooLong, TooManyPixels.
    """
    try:
        header = READERS[found.name](data, limits)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # Pillow's parsers raise anything on a bad file
        raise Undecodable(f"the {found.name} header does not parse") from error
    check_limits(header.width, header.height, header.frames, limits)
    return header


def _read_jpeg(data: bytes, limits: Limits) -> Header:
    # The class and not Image.open: a phone's multi-picture file is its first picture here.
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
        return _header(JPEG, data, image, limits)


def _read_bmp(data: bytes, limits: Limits) -> Header:
    with BmpImagePlugin.BmpImageFile(io.BytesIO(data)) as image:
        return _header(BMP, data, image, limits)


def _read_gif(data: bytes, limits: Limits) -> Header:
    with GifImagePlugin.GifImageFile(io.BytesIO(data)) as image:
        has_alpha = "transparency" in image.info
        return _header(GIF, data, image, limits, animated=True, has_alpha=has_alpha)


def _read_avif(data: bytes, limits: Limits) -> Header:
    # Pillow gives the container's turn and mirror, which is what counts here, as EXIF.
    with AvifImagePlugin.AvifImageFile(io.BytesIO(data)) as image:
        return _header(AVIF, data, image, limits, animated=True)


def _read_tiff(data: bytes, limits: Limits) -> Header:
    with TiffImagePlugin.TiffImageFile(io.BytesIO(data)) as image:
        tags = image.tag_v2
        thumbnail_first = tags.get(_SUBFILE_TAG) == _REDUCED and _SUB_IFDS_TAG in tags
        if thumbnail_first or _DNG_VERSION_TAG in tags:
            raise UnsupportedFormat("camera RAW is not taken", value="camera RAW")
        if image.mode in {"F", "I"}:
            raise UnsupportedFormat("TIFF of 32 bits a sample is not taken", value="32-bit TIFF")
        # Pillow swaps the sides of a turned TIFF; the tags say how it is stored.
        size = (int(tags[_WIDTH_TAG]), int(tags[_HEIGHT_TAG]))
        turn = valid_orientation(tags.get(ORIENTATION_TAG))
        return _header(TIFF, data, image, limits, size=size, orientation=turn, animated=True)


def _header(
    found: Format,
    data: bytes,
    image: ImageFile,
    limits: Limits,
    *,
    size: tuple[int, int] | None = None,
    orientation: int | None = None,
    animated: bool = False,
    has_alpha: bool | None = None,
) -> Header:
    width, height = size or image.size
    # Before anything else of the file is read: counting frames walks all of it.
    check_limits(width, height, 1, limits)
    if orientation is None:
        exif = image.info.get("exif", b"")
        orientation = exif_orientation(exif) if isinstance(exif, bytes) else UPRIGHT
    profile = image.info.get("icc_profile")
    return Header(
        format=found,
        width=width,
        height=height,
        frames=int(getattr(image, "n_frames", 1)) if animated else 1,
        orientation=orientation,
        has_alpha=image.mode in _ALPHA_MODES if has_alpha is None else has_alpha,
        space=_SPACES.get(image.mode, "rgb"),
        icc=profile if isinstance(profile, bytes) and profile else None,
        data=data,
    )


READERS: dict[str, Callable[[bytes, Limits], Header]] = {
    JPEG.name: _read_jpeg,
    PNG.name: lambda data, _: read_png(data),
    WEBP.name: lambda data, _: read_webp(data),
    GIF.name: _read_gif,
    AVIF.name: _read_avif,
    TIFF.name: _read_tiff,
    BMP.name: _read_bmp,
}
