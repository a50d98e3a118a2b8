"""What an image says of itself before a pixel is decoded: `Header`, and the limits on it.

`header_readers` has a reader for each format, from the whole file to a `Header`.
"""

from dataclasses import dataclass
from typing import Literal

from PIL import Image

from processors.errors import SideTooLong, TooManyPixels, TooMuchMetadata, Undecodable
from processors.exif import NOTHING, Exif
from processors.formats import Format
from processors.gain_maps import GainMap
from processors.settings import Limits

Space = Literal["rgb", "grey", "cmyk", "lab"]

Reader = Literal["opencv", "pillow", "libheif", "tiff", "bmp", "gif"]
"""What decodes the pixels of a file: chosen by its format and layout, before any is decoded."""

ORIENTATION_TAG = 0x0112
UPRIGHT = 1
_ORIENTATIONS = range(1, 9)
# From 5 on, width and height change places.
_FIRST_TURNED = 5


@dataclass(frozen=True, slots=True)
class Header:
    """Facts of one file; width and height in pixels as stored, before crop and orientation.

    `orientation` is EXIF's 1 to 8. `data` is what a decoder may see: the file, or less. `reader`
    decodes it to 8 bits a sample.
    `duration_ms` is None for a still; `metadata_bytes` is all that is neither pixels nor structure.
    `icc`: an embedded profile, or one that says what the file's numbers for its colours say.
    `transparent_grey`: a level of a PNG's grey that stands for no pixel, as the decoder gives it.
    `reducible`: it can be decoded at a half, a quarter or an eighth of its sides, at less cost.
    `crop`: left, top, width and height of what is shown, before it is turned.
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
        """Width and height as people see it, after crop and orientation."""
        width, height = self.crop[2:] if self.crop else (self.width, self.height)
        return (height, width) if self.orientation >= _FIRST_TURNED else (width, height)


def check_limits(width: int, height: int, frames: int, limits: Limits) -> None:
    """Raises SideTooLong, TooManyPixels; Undecodable for an image without area."""
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
    """Raises TooManyPixels where the tiles of an image have more than half as much again.

    Those at its edges may stick out.
    """
    if pixels > limits.max_pixels * 3 // 2:
        raise TooManyPixels(
            f"{pixels} pixels to decode, the limit is {limits.max_pixels}",
            limit=limits.max_pixels,
            value=pixels,
        )


def check_metadata(found: int, limits: Limits) -> None:
    """Raises TooMuchMetadata."""
    if found > limits.max_metadata_bytes:
        raise TooMuchMetadata(
            f"{found} bytes of metadata, the limit is {limits.max_metadata_bytes}",
            limit=limits.max_metadata_bytes,
            value=found,
        )


def exif_orientation(exif: bytes) -> int:
    """Orientation 1 to 8 in a block of EXIF, with or without its `Exif` prefix; 1 if unclear."""
    if not exif:
        return UPRIGHT
    parsed = Image.Exif()
    try:
        parsed.load(exif)
        return valid_orientation(parsed.get(ORIENTATION_TAG))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow's parser raises anything, and bad EXIF harms nobody
        return UPRIGHT


def valid_orientation(value: object) -> int:
    """`value` if it is one of the eight, else 1."""
    return value if isinstance(value, int) and value in _ORIENTATIONS else UPRIGHT
