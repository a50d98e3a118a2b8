"""Conversion to sRGB by a file's colour profile, with LittleCMS through Pillow."""

import io
import struct
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from processors.image import BGR

MAX_ICC_NAME = 80
"""Longest profile name that is kept, in characters."""

MAX_STAGES = 64
"""Largest number of stages in a profile's pipeline; a longer profile is ignored.

LittleCMS runs every stage for about 36,000 colours. 20,000 stages, which compress to 100 bytes,
take 10 s. Real profiles have fewer than ten.
"""

# Rows converted at once, so that the copies need little memory.
_STRIP_ROWS = 512
_HEADER_BYTES, _TAG_BYTES, _MAX_TAGS, _MAX_CHANNELS = 128, 12, 200, 16
# A profile equals sRGB if it changes no 8-bit colour by more than this rounding error.
_ROUNDING = 1
# Greys, and colours spread over the RGB cube: a profile that keeps these samples keeps all colours.
_GREYS = tuple((each, each, each) for each in range(256))
_SAMPLES = np.array([*_GREYS, *product((0, 51, 102, 153, 204, 255), repeat=3)], np.uint8)


def to_srgb(pixels: NDArray[np.uint8], icc: bytes, *, grey: bool) -> NDArray[np.uint8]:
    """Convert BGR or BGRA to sRGB by its profile, in place if possible.

    A useless profile changes no pixel. `grey`: the three channels are equal.
    """
    transform = _conversion(icc, grey)
    if transform is None:
        return pixels
    single = transform.input_mode == "L"
    for top in range(0, pixels.shape[0], _STRIP_ROWS):
        part = pixels[top : top + _STRIP_ROWS, :, :BGR]
        shown = np.ascontiguousarray(part[:, :, 0] if single else part[:, :, ::-1])
        converted = ImageCms.applyTransform(Pillow.fromarray(shown), transform)
        if converted is not None:
            part[:, :, ::-1] = np.asarray(converted)
    return pixels


def inks_to_srgb(image: Pillow.Image, icc: bytes | None) -> Pillow.Image:
    """Convert CMYK or Lab to RGB by the profile, or by Pillow's formula without a usable one."""
    if image.mode == "LAB":
        transform = _transform(_lab_profile(), "LAB")
    else:
        transform = _transform(icc, image.mode) if icc else None
    converted = ImageCms.applyTransform(image, transform) if transform else None
    return converted or image.convert("RGB")


def is_srgb(icc: bytes, *, grey: bool) -> bool:
    """True if the profile changes no colour: it equals sRGB, or it is useless.

    The name of the profile is ignored.
    """
    return _conversion(icc, grey) is None


def profile_name(icc: bytes) -> str | None:
    """Name of a profile, cut to 80 printable characters; None if it does not parse."""
    return _described(icc)[1] or None


# Cached, because a camera writes the same profile into all of its photographs.
@lru_cache(maxsize=16)
def _conversion(icc: bytes, grey: bool) -> ImageCms.ImageCmsTransform | None:
    """Transform to sRGB; None if the profile changes nothing, is broken or of another kind."""
    space, _ = _described(icc)
    if space not in ({"RGB", "GRAY"} if grey else {"RGB"}):
        return None
    transform = _transform(icc, "L" if space == "GRAY" else "RGB")
    if transform is None:
        return None
    # The samples as an image of one column, grey or RGB.
    given = _SAMPLES[:256, :1] if space == "GRAY" else _SAMPLES[:, None]
    made = ImageCms.applyTransform(Pillow.fromarray(given), transform)
    changed = np.asarray(made).reshape(-1, BGR).astype(np.int16) - _SAMPLES[: len(given)]
    return transform if np.abs(changed).max() > _ROUNDING else None


def _transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Build a transform to sRGB; None for a profile that is broken, too long or of another kind."""
    if _stages(icc) > MAX_STAGES:
        return None
    try:
        target = ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(io.BytesIO(icc), target, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=16)
def _described(icc: bytes) -> tuple[str, str]:
    """Colour space and name of a profile; both empty if it is broken."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
        name = (profile.profile_description or "").strip()
        space = profile.xcolor_space.strip()
    except (OSError, ValueError, TypeError):
        return "", ""
    return space, "".join(each for each in name if each.isprintable())[:MAX_ICC_NAME]


def _stages(icc: bytes) -> int:
    """Number of stages in the longest pipeline of the profile, by the work of each stage."""
    try:
        (tags,) = struct.unpack_from(">I", icc, _HEADER_BYTES)
        places = [
            struct.unpack_from(">I", icc, _HEADER_BYTES + 8 + n * _TAG_BYTES)[0]
            for n in range(min(tags, _MAX_TAGS))
        ]
    except struct.error:
        return 0
    return max((_stages_at(icc, each) for each in set(places)), default=0)


def _stages_at(icc: bytes, at: int) -> int:
    """Number of stages in the multiProcessElements tag at an offset (ICC.1:2022, 10.16).

    Other tag types are tables and have no stages.
    """
    if icc[at : at + 4] != b"mpet" or len(icc) < at + 16:
        return 0
    (stages,) = struct.unpack_from(">I", icc, at + 12)
    total = int(stages)
    for n in range(min(stages, MAX_STAGES)):
        place = icc[at + 16 + 8 * n : at + 20 + 8 * n]
        element = at + int.from_bytes(place, "big")
        total += _segments(icc, element) + _interpolations(icc, element)
    return total


def _interpolations(icc: bytes, at: int) -> int:
    """Interpolations for one colour in a table element (ICC.1:2022, 10.16.4); 0 for others.

    LittleCMS interpolates three inputs at once, and each further input doubles the work.
    """
    if icc[at : at + 4] != b"clut":
        return 0
    inputs = int.from_bytes(icc[at + 8 : at + 10], "big")
    return 1 << max(0, min(inputs, _MAX_CHANNELS) - 3)


def _segments(icc: bytes, at: int) -> int:
    """Number of curve segments in a curve set element (ICC.1:2022, 10.16.2); 0 for others."""
    if icc[at : at + 4] != b"cvst":
        return 0
    total, curves = 0, int.from_bytes(icc[at + 8 : at + 10], "big")
    for n in range(min(curves, _MAX_CHANNELS)):
        place = icc[at + 12 + 8 * n : at + 16 + 8 * n]
        curve = at + int.from_bytes(place, "big")
        total += int.from_bytes(icc[curve + 8 : curve + 10], "big")
    return total


def _lab_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
