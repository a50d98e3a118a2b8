"""Decoding of files to `Image`, by the reader that the header names, and encoding.

OpenCV 5.0 decodes JPEG, PNG, WebP and AVIF. Other formats have other readers: OpenCV's GIF fails
for frames smaller than the screen, its TIFF leaves planes unwritten, and its BMP scales 5-bit
white to 248.
"""

import io
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from processors.codecs.bmp.reader import decode_bmp
from processors.codecs.colour import inks_to_srgb, is_srgb, to_srgb
from processors.codecs.formats import AVIF, HEIC, JPEG, PNG, TIFF, WEBP, Format
from processors.codecs.gif import decode_gif
from processors.codecs.header import UPRIGHT, Header
from processors.codecs.heif import decode_heic
from processors.codecs.placement import TURNS
from processors.codecs.png import check_still, with_alpha
from processors.codecs.tiff.reader import decode_tiff
from processors.errors import Undecodable
from processors.image import BGRA, WHITE, Image, Pixels, upper_bytes
from processors.shortage import is_short_of, memory_or

OutputFormat = Literal["jpeg", "png", "webp", "avif"]
OUTPUTS: dict[str, Format] = {each.name: each for each in (JPEG, PNG, WEBP, AVIF)}
DEEP_OUTPUTS: frozenset[OutputFormat] = frozenset({"png", "avif"})
"""Output formats with more than 8 bits a sample: PNG 16, AVIF 10 (the most that browsers show)."""

LONGEST_SIDE: dict[OutputFormat, int] = {
    "jpeg": 65_500,
    "png": 65_535,
    "webp": 16_383,
    "avif": 65_535,
}
"""Longest side of each format in pixels: limits of libjpeg, libwebp and of the protocol."""

Reduction = Literal[1, 2, 4, 8]
"""Divisor of a JPEG's sides during decoding, which then costs less."""

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
# Spaces whose readers convert to sRGB themselves.
_CONVERTED = frozenset({"cmyk", "lab"})

# Peak bytes a pixel of decoders, measured, without the memory of an idle child. AVIF of 12 bits
# with alpha takes 42, PNG and WebP with alpha 11.
_DECODER_BYTES = {AVIF: 42}
_PLAIN_BYTES = 12
_GREY_AXES = 2
_8_BITS, _16_BITS, _AVIF_BITS = 8, 16, 10
_GREY_ALPHA = 2
# Speed 8 of 10 takes half the time of speed 6 and makes files a few per cent larger.
_AVIF_SPEED = 8
# Up to this side in pixels, an image is encoded without chroma subsampling, which would blur the
# colours of icons. That costs some hundred bytes in a JPEG, whose shorter side counts. In WebP and
# AVIF, only lossless images have no subsampling, so the longer side counts.
_ICON_SIDE = 64
_WEBP_LOSSLESS = 101
_AVIF_LOSSLESS = 100
_ICON_SAMPLING = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
_SAMPLING = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
# Level 1 of 9, with filters. Higher levels take a multiple of the time, and photographs hardly get
# smaller.
_PNG_COMPRESSION = 1


def decode(header: Header, reduction: Reduction = 1, *, deep: bool = False) -> Image:
    """Decode to upright sRGB, 8 bits a sample, with alpha only if some pixel is transparent.

    An animation gives its first frame (an APNG its default image). `reduction` applies to JPEG in
    RGB or grey only. `deep`: 16 bits a sample, if `can_be_deep`. Raises Undecodable, MemoryError.
    """
    try:
        deep = deep and can_be_deep(header)
        pixels = _deep_pixels(header) if deep else _pixels(header, reduction)
    except Undecodable as error:
        # Decoders report a broken file and a shortage of memory in the same way.
        if is_short_of(_most_bytes(header)):
            raise MemoryError(f"no memory for {header.width} x {header.height}") from error
        raise
    if header.crop:
        left, top, width, height = header.crop
        pixels = pixels[top : top + height, left : left + width]
    if header.orientation != UPRIGHT:
        pixels = orient(pixels, header.orientation)
    return Image(np.ascontiguousarray(pixels)).without_empty_alpha()


def can_be_deep(header: Header) -> bool:
    """True if the file has more than 8 bits a sample and needs no colour conversion.

    LittleCMS in Pillow converts in 8 bits only.
    """
    grey = header.space == "grey"
    same = header.icc is None or is_srgb(header.icc, grey=grey)
    plain = header.space in {"rgb", "grey"} and same
    # OpenCV ignores the range of a monochrome AVIF.
    known = header.format in {PNG, TIFF, HEIC} or (header.format is AVIF and not grey)
    return plain and known and header.bit_depth > _8_BITS


def encode(image: Image, output: OutputFormat, quality: int, background: str = WHITE) -> bytes:
    """Encode an image without any metadata; quality 1 to 100 (PNG ignores it).

    JPEG has no alpha, so the image is composited over `background`, `#rrggbb`. A 16-bit image
    keeps its depth if the format can. Raises ValueError for sides that the format cannot have.
    Raises MemoryError if the encoder fails: encoders report a shortage of memory as a plain
    failure.
    """
    if max(image.width, image.height) > LONGEST_SIDE[output]:
        raise ValueError(f"{output} cannot hold an image of {image.width} x {image.height}")
    held = image if output in DEEP_OUTPUTS else image.in_8_bits()
    flat = held.flattened(background) if output == "jpeg" else held
    pixels, depth = flat.pixels, _8_BITS
    if flat.is_deep and output == "avif":
        pixels = (pixels >> (_16_BITS - _AVIF_BITS)).astype(np.uint16, copy=False)
        depth = _AVIF_BITS
    icon = min(flat.width, flat.height) <= _ICON_SIDE
    lossless = max(flat.width, flat.height) <= _ICON_SIDE
    options = {
        "jpeg": [
            *(cv2.IMWRITE_JPEG_QUALITY, quality),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _ICON_SAMPLING if icon else _SAMPLING),
        ],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, _WEBP_LOSSLESS if lossless else quality],
        "avif": [
            *(cv2.IMWRITE_AVIF_QUALITY, _AVIF_LOSSLESS if lossless else quality),
            *(cv2.IMWRITE_AVIF_SPEED, _AVIF_SPEED),
            *(cv2.IMWRITE_AVIF_DEPTH, depth),
        ],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, _PNG_COMPRESSION],
    }[output]
    try:
        done, encoded = cv2.imencode(f".{output}", pixels, options)
    except cv2.error as error:
        raise MemoryError(str(error)) from error
    if not done:
        raise MemoryError(f"{output} could not be written")
    return encoded.tobytes()


def orient(pixels: Pixels, orientation: int) -> Pixels:
    """Rotate and mirror pixels by EXIF orientation 1 to 8."""
    transpose, reverse_rows, reverse_columns = TURNS[orientation]
    turned = pixels.transpose(1, 0, 2) if transpose else pixels
    return turned[:: -1 if reverse_rows else 1, :: -1 if reverse_columns else 1]


def _pixels(header: Header, reduction: Reduction) -> Pixels:
    """Decode to 8-bit BGR or BGRA in sRGB, by the reader that the header names."""
    if header.reader == "pillow":
        pixels = _pillow_pixels(header)
        return pixels if header.space in _CONVERTED else _in_srgb(header, pixels)
    if header.reader == "gif":
        return _in_srgb(header, decode_gif(header.data))
    if header.reader == "tiff":
        pixels = decode_tiff(header, deep=False).astype(np.uint8, copy=False)
        return pixels if header.space in _CONVERTED else _in_srgb(header, pixels)
    if header.reader == "bmp":
        return _in_srgb(header, decode_bmp(header))
    if header.reader == "libheif":
        return _in_srgb(header, _to_8_bits(_heic_pixels(header, deep=False)))
    return _in_srgb(header, _opencv_pixels(header, reduction))


def _opencv_pixels(header: Header, reduction: Reduction) -> NDArray[np.uint8]:
    flags = cv2.IMREAD_UNCHANGED if header.has_alpha else cv2.IMREAD_COLOR
    if header.format is JPEG and not header.reducible and header.space == "grey":
        flags = cv2.IMREAD_GRAYSCALE  # libjpeg cannot convert a lossless grey JPEG to colour
    if reduction > 1 and header.reducible:
        flags = _REDUCED[reduction]
    decoded = _imdecode(header, flags)
    _check_size(header, decoded, reduction if header.reducible else 1)
    return _to_bgr(_to_8_bits(decoded))


def _deep_pixels(header: Header) -> Pixels:
    """Decode to BGR or BGRA of 16 bits, full range."""
    if header.reader == "tiff":
        return decode_tiff(header, deep=True)
    if header.format is HEIC:
        decoded = _heic_pixels(header, deep=True)
    else:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
        decoded = _imdecode(header, cv2.IMREAD_UNCHANGED if header.has_alpha else flags)
        _check_size(header, decoded, 1)
    if decoded.dtype != np.uint16:
        raise Undecodable(f"samples of {decoded.dtype}, the header says {header.bit_depth} bits")
    samples = _to_bgr(decoded).astype(np.uint16, copy=False)
    bits = header.bit_depth
    if header.format is AVIF or header.format is HEIC:
        # AVIF and HEIC samples use the lower bits: white of 10 bits is 1,023 and becomes 65,535.
        full = samples << (_16_BITS - bits) | samples >> (2 * bits - _16_BITS)
        return full.astype(np.uint16, copy=False)
    return samples


def _heic_pixels(header: Header, *, deep: bool) -> NDArray[np.generic]:
    decoded = decode_heic(header.data, deep=deep)
    _check_size(header, decoded, 1)
    if decoded.dtype == np.uint16 and not deep:
        # `decode_heic` returns grey in the file's bit depth, also without `deep`.
        decoded = decoded.astype(np.uint16) << (_16_BITS - header.bit_depth)
    return _to_bgr(decoded)


def _in_srgb(header: Header, pixels: NDArray[np.uint8]) -> Pixels:
    if header.icc is None:
        return pixels
    ours = pixels if pixels.flags.writeable else pixels.copy()
    return to_srgb(ours, header.icc, grey=header.space == "grey")


def _imdecode(header: Header, flags: int) -> NDArray[np.generic]:
    if header.format is PNG:
        check_still(header.data)
    # `decode` applies the orientation; OpenCV would apply the orientation of some formats only.
    wanted = flags if flags == cv2.IMREAD_UNCHANGED else flags | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        decoded = cv2.imdecode(np.frombuffer(header.data, np.uint8), wanted)
    except cv2.error as error:
        raise memory_or(error, Undecodable("the pixels do not decode")) from error
    if decoded is None:
        raise Undecodable("the pixels do not decode")
    level = header.transparent_grey
    return decoded if level is None or decoded.ndim != _GREY_AXES else with_alpha(decoded, level)


def _most_bytes(header: Header) -> int:
    """Peak memory of decoding the file in bytes."""
    return header.width * header.height * _DECODER_BYTES.get(header.format, _PLAIN_BYTES)


def _check_size(header: Header, decoded: NDArray[np.generic], reduction: int) -> None:
    # If header reader and decoder see different sizes, the file may be an attack on one of them.
    expected = (-(-header.height // reduction), -(-header.width // reduction))
    if decoded.shape[:2] != expected:
        raise Undecodable(f"pixels of {decoded.shape[:2]}, the header says {expected}")


def _to_8_bits(decoded: NDArray[np.generic]) -> NDArray[np.uint8]:
    if decoded.dtype == np.uint8:
        return decoded.astype(np.uint8, copy=False)
    if decoded.dtype == np.uint16:
        return upper_bytes(decoded)
    raise Undecodable(f"samples of {decoded.dtype}")


def _to_bgr(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.ndim == _GREY_AXES:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if pixels.shape[2] == _GREY_ALPHA:
        grey, alpha = pixels[:, :, 0], pixels[:, :, 1]
        return np.stack([grey, grey, grey, alpha], axis=2)
    return pixels


def _pillow_pixels(header: Header) -> NDArray[np.uint8]:
    if header.format is JPEG:
        # Pillow hides libjpeg's warnings, so OpenCV decodes a reduced copy that prints them.
        _imdecode(header, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    try:
        samples = _pillow_samples(header)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise any exception on a bad file
        raise Undecodable("the pixels do not decode") from error
    _check_size(header, samples, 1)
    if samples.ndim == _GREY_AXES:
        return _to_bgr(samples)
    code = cv2.COLOR_RGBA2BGRA if samples.shape[2] == BGRA else cv2.COLOR_RGB2BGR
    return cv2.cvtColor(samples, code).astype(np.uint8, copy=False)


def _pillow_samples(header: Header) -> NDArray[np.uint8]:
    """Decode with Pillow to grey, RGB or RGBA."""
    with Pillow.open(io.BytesIO(header.data), formats=[header.format.name.upper()]) as image:
        image.load()
        if header.space in {"cmyk", "lab"}:
            return np.asarray(inks_to_srgb(image, header.icc))
        return np.asarray(image.convert("RGBA" if header.has_alpha else "RGB"))
