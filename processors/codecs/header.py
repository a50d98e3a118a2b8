"""Facts about an image that are known before decoding (`Header`), and the checks of limits.

`header_readers` has a reader for each format that makes a `Header` of a file.
"""

from dataclasses import dataclass
from typing import Literal

from PIL import Image

from processors.codecs.exif import NOTHING, Exif
from processors.codecs.formats import Format
from processors.codecs.gain_maps import GainMap
from processors.errors import SideTooLong, TooManyPixels, TooMuchMetadata, Undecodable
from processors.settings import Limits

Space = Literal["rgb", "grey", "cmyk", "lab"]

Reader = Literal["opencv", "pillow", "libheif", "tiff", "bmp", "gif"]
"""Decoder of a file's pixels; the header reader chooses it by format and layout."""

ORIENTATION_TAG = 0x0112
UPRIGHT = 1
_ORIENTATIONS = range(1, 9)
# From 5 on, width and height change places.
_FIRST_TURNED = 5


@dataclass(frozen=True, slots=True)
class Header:
    """Facts about one file; width and height in pixels as stored, before crop and orientation.

    `orientation` is the EXIF value 1 to 8. `data` is the input for the decoder: the file, or a
    cleaned part of it. `reader` decodes `data` to 8 bits a sample.
    `duration_ms` is None for a still; `metadata_bytes` counts all that is neither pixels nor
    structure.
    `icc`: the embedded profile, or one made from the file's colour codes.
    `transparent_grey`: grey level of a PNG that is transparent, in the decoder's scale.
    `reducible`: the file can be decoded at 1/2, 1/4 or 1/8 of its sides, at less cost.
    `crop`: left, top, width and height of the shown part, before it is turned.
    """

    format: Format
    width: int
    height: int
    frames: int
    orientation: int
    has_alpha: bool
    space: Space
    icc: bytes | None
    data: bytes
    bit_depth: int = 8
    duration_ms: int | None = None
    metadata_bytes: int = 0
    exif: Exif = NOTHING
    reader: Reader = "opencv"
    transparent_grey: int | None = None
    reducible: bool = False
    gain_map: GainMap | None = None
    crop: tuple[int, int, int, int] | None = None

    @property
    def displayed(self) -> tuple[int, int]:
        """Width and height after crop and orientation."""
        width, height = self.crop[2:] if self.crop else (self.width, self.height)
        return (height, width) if self.orientation >= _FIRST_TURNED else (width, height)


def check_limits(width: int, height: int, frames: int, limits: Limits) -> None:
    """Check the size of an image.

    Raises SideTooLong, TooManyPixels; Undecodable for an image without area.
    """
    if width < 1 or height < 1:
        raise Undecodable(f"an image of {width} x {height} pixels")
    if (side := max(width, height)) > limits.max_side:
        raise SideTooLong(
            f"a side of {side} pixels, the limit is {limits.max_side}",
            limit=limits.max_side,
            value=side,
        )
    if (pixels := width * height * frames) > limits.max_pixels:
        raise TooManyPixels(
            f"{width} x {height} pixels x {frames} frames is {pixels}, "
            f"the limit is {limits.max_pixels}",
            limit=limits.max_pixels,
            value=pixels,
        )


def check_tiles(pixels: int, limits: Limits) -> None:
    """Raise TooManyPixels if the tiles of an image have more than 1.5 times the pixel limit.

    The excess allows for tiles that extend beyond the edges of the image.
    """
    if pixels > (limit := limits.max_pixels * 3 // 2):
        raise TooManyPixels(
            f"{pixels} pixels of tiles to decode, the limit is {limit}", limit=limit, value=pixels
        )


def check_metadata(size: int, limits: Limits) -> None:
    """Raise TooMuchMetadata if the size is above the limit."""
    if size > limits.max_metadata_bytes:
        raise TooMuchMetadata(
            f"{size} bytes of metadata, the limit is {limits.max_metadata_bytes}",
            limit=limits.max_metadata_bytes,
            value=size,
        )


def exif_orientation(exif: bytes) -> int:
    """Orientation 1 to 8 from an EXIF block, with or without its `Exif` prefix; 1 by default."""
    if not exif:
        return UPRIGHT
    parsed = Image.Exif()
    try:
        parsed.load(exif)
        return valid_orientation(parsed.get(ORIENTATION_TAG))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow's parser raises any exception; bad EXIF fails no image
        return UPRIGHT


def valid_orientation(value: object) -> int:
    """`value` if it is 1 to 8, else 1."""
    return value if isinstance(value, int) and value in _ORIENTATIONS else UPRIGHT
