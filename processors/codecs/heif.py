"""HEIC header reader and decoder, by libheif in the optional package pillow-heif (extra `heif`).

The package is optional because its wheel contains x265 (GPL), an encoder that is not called here.
libheif applies the container's rotation and mirror; EXIF orientation does not count in a HEIC
(ISO/IEC 23008-12). So the pixels are always upright.
"""

import struct
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.codecs.coded_colours import profile_of_codes
from processors.codecs.exif import read_exif
from processors.codecs.formats import HEIC
from processors.codecs.header import UPRIGHT, Header, check_limits, check_tiles
from processors.codecs.heif_items import Items, read_items
from processors.codecs.heif_pictures import check_pictures
from processors.codecs.heif_warnings import NAME, Warnings
from processors.codecs.hevc import is_limited
from processors.errors import Truncated, Undecodable, UnsupportedFormat
from processors.image import BGR
from processors.settings import Limits

try:
    import pillow_heif
except ImportError:  # the extra is not installed
    pillow_heif = None  # type: ignore[assignment]

_NCLX = 8  # bytes of the type and two codes
# Offset of the flag for full range, behind the type and three codes.
_RANGE_AT, _FULL_RANGE = 10, 0x80
# Offset of the chroma format in an hvcC property; 0 means luma without chroma.
_CHROMA_AT, _CHROMA = 16, 0x03
_GREY_AXES = 2
_WARNINGS = Warnings()


def available() -> bool:
    """True if pillow-heif is installed."""
    return pillow_heif is not None


def read_heic(data: bytes, limits: Limits) -> Header:
    """Read the header of a HEIC's primary image; raises UnsupportedFormat without the library."""
    items = read_items(data)
    if items is not None:
        _check_stored(items, limits)
        check_pictures(items)
    image, number = _primary(data)
    width, height = image.size
    check_limits(width, height, 1, limits)
    facts: dict[str, Any] = image.info
    metadata = [facts.get(name) or b"" for name in ("exif", "xmp", "icc_profile")]
    return Header(
        format=HEIC,
        reader="libheif",
        width=width,
        height=height,
        frames=number,
        orientation=UPRIGHT,
        has_alpha=image.mode.split(";")[0][-1] in "Aa",
        space="grey" if image.mode.startswith("L") else "rgb",
        icc=metadata[-1] or _named_colours(items),
        data=data,
        # OpenCV undoes premultiplied alpha in 8 bits only.
        bit_depth=8 if _is_premultiplied(image.mode) else int(facts["bit_depth"]),
        metadata_bytes=sum(map(len, metadata)),
        exif=read_exif(metadata[0]),
        gain_map=items.gain_map() if items else None,
    )


def decode_heic(data: bytes, *, deep: bool) -> NDArray[np.generic]:
    """Decode to grey (with or without alpha), BGR or BGRA.

    Grey of more than 8 bits is uint16; colour is uint16 only if `deep`. Values have the range of
    the file's bit depth. Raises Undecodable, Truncated, MemoryError.
    """
    image, _ = _primary(data, deep=deep)
    _WARNINGS.take()
    try:
        pixels = np.asarray(image)
        if _is_premultiplied(image.mode) and pixels.shape[2:] == (4,):
            pixels = cv2.cvtColor(pixels, cv2.COLOR_mRGBA2RGBA)
    except MemoryError:
        raise
    except Exception as error:  # the library raises five classes, and its C++ code any exception
        raise Undecodable("the pixels do not decode") from error
    lost = _WARNINGS.take()
    if lost == "short":
        raise Truncated("a slice ends before its blocks do")
    if lost == "broken":
        raise Undecodable("a slice does not decode")
    items = read_items(data)
    if items is not None and _is_limited_grey(items):
        facts: dict[str, Any] = image.info
        return _in_full_range(pixels, 8 if pixels.dtype == np.uint8 else facts["bit_depth"])
    return pixels


def _in_full_range(pixels: NDArray[np.generic], bits: int) -> NDArray[np.generic]:
    """Scale grey of limited range (16 to 235 in 8 bits); libheif does this for colours only."""
    white, scale = (1 << bits) - 1, bits - 8
    levels = (np.arange(white + 1) - (16 << scale)) * (white / (219 << scale))
    table = np.clip(np.rint(levels), 0, white).astype(pixels.dtype)
    made = pixels.copy()
    shown = made[..., :BGR] if made.ndim > _GREY_AXES else made
    shown[...] = table[np.minimum(shown, white)]
    return made


@cache
def _listens() -> bool:
    """Install the collection of libde265's warnings once; True if that worked."""
    return _WARNINGS.install(Path(pillow_heif.__file__).parent)


def _check_stored(items: Items, limits: Limits) -> None:
    """Raise SideTooLong, TooManyPixels by the sizes before any crop and by the sum of the tiles."""
    for number in {items.primary, *items.tiles_of(items.primary)}:
        item = items.items.get(number)
        if item is not None and item.size is not None:
            check_limits(*item.size, 1, limits)
    sizes = {number: item.size or (0, 0) for number, item in items.items.items()}
    tiles = items.tiles_of(items.primary)
    pixels = sum(width * height for width, height in (sizes.get(n, (0, 0)) for n in tiles))
    check_tiles(pixels, limits)


def _named_colours(items: Items | None) -> bytes | None:
    """Profile made from the `nclx` codes of the primary image or of its first tile."""
    codes = _codes(items) if items else None
    return profile_of_codes(*struct.unpack_from(">HH", codes, 4)) if codes else None


def _is_limited_grey(items: Items) -> bool:
    """True for luma without chroma in limited range, according to `nclx` or else the stream."""
    tile = items.items.get(items.tiles_of(items.primary)[0])
    stream = (tile and tile.first(b"hvcC")) or b""
    if len(stream) <= _CHROMA_AT or stream[_CHROMA_AT] & _CHROMA:
        return False
    codes = _codes(items)
    if codes is not None and len(codes) > _RANGE_AT:
        return not codes[_RANGE_AT] & _FULL_RANGE
    return is_limited(stream)


def _codes(items: Items) -> bytes | None:
    """Content of the `nclx` property of the primary image or of its first tile."""
    for number in (items.primary, items.tiles_of(items.primary)[0]):
        item = items.items.get(number)
        for each in item.properties if item else []:
            if each.kind == b"colr" and each.content[:4] == b"nclx" and len(each.content) >= _NCLX:
                return each.content
    return None


def _is_premultiplied(mode: str) -> bool:
    return mode.split(";", maxsplit=1)[0].endswith("a")


def _primary(data: bytes, *, deep: bool = False) -> tuple["pillow_heif.HeifImage", int]:
    if pillow_heif is None:
        raise UnsupportedFormat(
            "HEIC is not supported here: pillow-heif (the extra `heif`) is not installed",
            value=HEIC.name.upper(),
        )
    # Only the primary image is shown. Each of the other images could be a decompression bomb.
    options = pillow_heif.options
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    options.DECODE_THREADS = 1
    if _listens():
        options.PREFERRED_DECODER["HEIF"] = NAME.decode()
    opened = pillow_heif.open_heif(
        data, convert_hdr_to_8bit=not deep, bgr_mode=True, hdr_to_16bit=False
    )
    return opened[opened.primary_index], len(opened)
