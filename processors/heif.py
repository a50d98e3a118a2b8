"""HEIC by libheif, in the optional package pillow-heif (extra `heif`).

It is no hard dependency: its wheel carries x265 (GPL), an encoder that nothing here calls.
Turns and mirrors of the container are done by the library; EXIF's orientation does not count in a
HEIC (ISO/IEC 23008-12), so what comes is always upright.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.errors import Undecodable, UnsupportedFormat
from processors.exif import read_exif
from processors.formats import HEIC
from processors.header import UPRIGHT, Header, check_limits
from processors.settings import Limits

try:
    import pillow_heif
except ImportError:  # the extra is not installed
    pillow_heif = None  # type: ignore[assignment]


def available() -> bool:
    """True if HEIC can be decoded here."""
    return pillow_heif is not None


def read_heic(data: bytes, limits: Limits) -> Header:
    """The header of a HEIC's primary image; raises UnsupportedFormat without the library."""
    image, number = _primary(data)
    width, height = image.size
    check_limits(width, height, number, limits)
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
        icc=metadata[-1] or None,
        data=data,
        # OpenCV takes a premultiplied alpha back in 8 bits only.
        bit_depth=8 if _is_premultiplied(image.mode) else int(facts["bit_depth"]),
        metadata_bytes=sum(map(len, metadata)),
        exif=read_exif(metadata[0]),
    )


def decode_heic(data: bytes, *, deep: bool) -> NDArray[np.generic]:
    """Pixels as they come: grey, with or without alpha, BGR or BGRA.

    Grey of more than 8 bits is uint16, colour only if `deep`; values as large as its depth allows.

    Raises Undecodable, MemoryError.
    """
    image, _ = _primary(data, deep=deep)
    try:
        pixels = np.asarray(image)
        if _is_premultiplied(image.mode) and pixels.shape[2:] == (4,):
            return cv2.cvtColor(pixels, cv2.COLOR_mRGBA2RGBA)
    except MemoryError:
        raise
    except Exception as error:  # the library raises five kinds, and its C++ anything
        raise Undecodable("the pixels do not decode") from error
    return pixels


def _is_premultiplied(mode: str) -> bool:
    return mode.split(";", maxsplit=1)[0].endswith("a")


def _primary(data: bytes, *, deep: bool = False) -> tuple["pillow_heif.HeifImage", int]:
    if pillow_heif is None:
        raise UnsupportedFormat(
            "HEIC is not taken: pillow-heif (the extra `heif`) is not installed here",
            value=HEIC.name.upper(),
        )
    # Of these the primary image is all that anybody is shown, and each may hide a bomb of its own.
    options = pillow_heif.options
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    options.DECODE_THREADS = 1
    opened = pillow_heif.open_heif(
        data, convert_hdr_to_8bit=not deep, bgr_mode=True, hdr_to_16bit=False
    )
    return opened[opened.primary_index], len(opened)
