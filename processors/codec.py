"""Bytes to `Image` and back: OpenCV where it is right, Pillow for inks and colour profiles."""

import io
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from processors.colour import inks_to_srgb, to_srgb
from processors.errors import Undecodable
from processors.formats import AVIF, JPEG, PNG, TIFF, WEBP, Format
from processors.header import UPRIGHT, Header
from processors.image import Image, Pixels

OutputFormat = Literal["jpeg", "png", "webp", "avif"]
OUTPUTS: dict[str, Format] = {each.name: each for each in (JPEG, PNG, WEBP, AVIF)}

Reduction = Literal[1, 2, 4, 8]
"""By how much a JPEG's sides may be divided while it is decoded, at a fraction of the cost."""

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
# Orientation: swap rows and columns, then reverse the rows, then the columns.
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
_GREY_AXES = 2
_OUT_OF_MEMORY = -4  # cv::Error::StsNoMem
# Speed 8 of 10: half the time of 6 for a few per cent of bytes.
_AVIF_SPEED = 8
# Level 1 of 9 with filters: photographs hardly shrink further, at a multiple of the time.
_PNG_COMPRESSION = 1


def decode(header: Header, reduction: Reduction = 1) -> Image:
    """Pixels as people see them: oriented, sRGB, 8 bits a sample, alpha where it hides something.

    Of an animation, the first frame (of an APNG the default image). `reduction` holds for JPEG
    in RGB or grey only; other files come whole. Raises Undecodable, MemoryError.
    """
    pixels = _pixels(header, reduction)
    if not _is_upright(header):
        pixels = orient(pixels, header.orientation)
    return Image(np.ascontiguousarray(pixels)).without_empty_alpha()


def can_reduce(header: Header) -> bool:
    """True if `decode` can make use of a reduction."""
    return header.format is JPEG and header.space in {"rgb", "grey"}


def encode(image: Image, output: OutputFormat, quality: int) -> bytes:
    """`image` in that format, without any metadata; quality 1 to 100 (PNG ignores it).

    JPEG has no alpha: it is composited over white. Raises MemoryError, ValueError.
    """
    flat = image.on_white() if output == "jpeg" else image
    options = {
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
        "avif": [cv2.IMWRITE_AVIF_QUALITY, quality, cv2.IMWRITE_AVIF_SPEED, _AVIF_SPEED],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, _PNG_COMPRESSION],
    }[output]
    try:
        done, encoded = cv2.imencode(f".{output}", flat.pixels, options)
    except cv2.error as error:
        raise _memory_or(error, ValueError(f"{output} cannot hold this image")) from error
    if not done:
        raise ValueError(f"{output} cannot hold an image of {flat.width} x {flat.height}")
    return encoded.tobytes()


def orient(pixels: Pixels, orientation: int) -> Pixels:
    """Turned and mirrored as EXIF's orientation 1 to 8 asks."""
    transpose, reverse_rows, reverse_columns = _TURNS[orientation]
    turned = pixels.transpose(1, 0, 2) if transpose else pixels
    return turned[:: -1 if reverse_rows else 1, :: -1 if reverse_columns else 1]


def _pixels(header: Header, reduction: Reduction) -> Pixels:
    """BGR or BGRA in sRGB."""
    if header.space in {"cmyk", "lab"}:
        return _pillow_pixels(header)
    flags = cv2.IMREAD_UNCHANGED if header.has_alpha else cv2.IMREAD_COLOR
    if reduction > 1 and can_reduce(header):
        flags = _REDUCED[reduction]
    decoded = _imdecode(header.data, flags)
    _check_size(header, decoded, reduction if can_reduce(header) else 1)
    if decoded.dtype == np.uint16 and header.format is AVIF:
        # 10 or 12 bits in 16, and nothing says which.
        pixels = _pillow_pixels(header)
    else:
        pixels = _to_bgr(_to_8_bits(decoded))
    if header.icc is None:
        return pixels
    return to_srgb(pixels, header.icc, grey=header.space == "grey")


def _imdecode(data: bytes, flags: int) -> NDArray[np.generic]:
    # Orientation is ours: OpenCV applies it for some formats and not for others.
    wanted = flags if flags == cv2.IMREAD_UNCHANGED else flags | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), wanted)
    except cv2.error as error:
        raise _memory_or(error, Undecodable("the pixels do not decode")) from error
    if decoded is None:
        raise Undecodable("the pixels do not decode")
    return decoded


def _check_size(header: Header, decoded: NDArray[np.generic], reduction: int) -> None:
    # Whoever makes two parsers see two sizes is after one of them.
    width, height = header.displayed if header.format is TIFF else (header.width, header.height)
    expected = (-(-height // reduction), -(-width // reduction))
    if decoded.shape[:2] != expected:
        raise Undecodable(f"pixels of {decoded.shape[:2]}, the header says {expected}")


def _is_upright(header: Header) -> bool:
    # A TIFF, and nothing else, comes turned from both libraries, whatever they are told.
    return header.format is TIFF or header.orientation == UPRIGHT


def _to_8_bits(decoded: NDArray[np.generic]) -> Pixels:
    if decoded.dtype == np.uint8:
        return decoded.astype(np.uint8, copy=False)
    if decoded.dtype == np.uint16:
        # Every second byte, the upper ones (little-endian); a shift takes three times the memory.
        return np.ascontiguousarray(decoded.view(np.uint8)[..., 1::2])
    raise Undecodable(f"samples of {decoded.dtype}")


def _to_bgr(pixels: Pixels) -> Pixels:
    if pixels.ndim == _GREY_AXES:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
    return pixels


def _pillow_pixels(header: Header) -> Pixels:
    try:
        with Pillow.open(io.BytesIO(header.data), formats=[header.format.name.upper()]) as image:
            image.load()
            if header.space in {"cmyk", "lab"}:
                colour = inks_to_srgb(image, header.icc)
            else:
                colour = image.convert("RGBA" if header.has_alpha else "RGB")
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise anything on a bad file
        raise Undecodable("the pixels do not decode") from error
    code = cv2.COLOR_RGBA2BGRA if colour.mode == "RGBA" else cv2.COLOR_RGB2BGR
    return cv2.cvtColor(np.asarray(colour), code).astype(np.uint8, copy=False)


def _memory_or(error: cv2.error, otherwise: Exception) -> Exception:
    # A C++ bad_alloc comes as the same class without a code.
    starved = getattr(error, "code", None) == _OUT_OF_MEMORY or "bad_alloc" in str(error)
    return MemoryError(str(error)) if starved else otherwise
