"""Colour profiles: from whatever a file was made in to sRGB, by LittleCMS through Pillow."""

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
"""Longest name of a profile that is passed on, in characters."""

MAX_STAGES = 64
"""Most steps of a profile's pipeline that are followed.

LittleCMS runs every stage for some 36,000 colours; 20,000 of them, which deflate to 100 bytes, cost
it 10 s. Real profiles have below ten.
"""

# Rows converted at once: copies of a part need no memory worth counting.
_STRIP_ROWS = 512
_HEADER_BYTES, _TAG_BYTES, _MAX_TAGS, _MAX_CHANNELS = 128, 12, 200, 16
# How far a colour of 8 bits may move by a profile that is sRGB's: what rounding does.
_ROUNDING = 1
# Greys and colours all over the cube: what leaves these alone leaves all alone.
_GREYS = tuple((each, each, each) for each in range(256))
_SAMPLES = np.array([*_GREYS, *product((0, 51, 102, 153, 204, 255), repeat=3)], np.uint8)


def to_srgb(pixels: NDArray[np.uint8], icc: bytes, *, grey: bool) -> NDArray[np.uint8]:
    """BGR or BGRA by its profile, in place where it can; as it is where the profile is no use.

    `grey`: the three channels are copies of one.
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
    """CMYK or Lab as RGB: by the profile, or without a good one by Pillow's plain formula."""
    if image.mode == "LAB":
        transform = _transform(_lab_profile(), "LAB")
    else:
        transform = _transform(icc, image.mode) if icc else None
    converted = ImageCms.applyTransform(image, transform) if transform else None
    return converted or image.convert("RGB")


def is_srgb(icc: bytes, *, grey: bool) -> bool:
    """True if the profile changes nothing: its curves and primaries are sRGB's, or it is no use.

    What a profile calls itself says nothing of that.
    """
    return _conversion(icc, grey) is None


def profile_name(icc: bytes) -> str | None:
    """What a profile calls itself, cut to 80 printable characters; None if it does not parse."""
    return _described(icc)[1] or None


# A camera writes the same one into all of its photographs.
@lru_cache(maxsize=16)
def _conversion(icc: bytes, grey: bool) -> ImageCms.ImageCmsTransform | None:
    """To sRGB; None where the profile changes nothing, is broken, or is of another kind."""
    space, _ = _described(icc)
    if space not in ({"RGB", "GRAY"} if grey else {"RGB"}):
        return None
    transform = _transform(icc, "L" if space == "GRAY" else "RGB")
    if transform is None:
        return None
    # One column, of grey or of RGB.
    given = _SAMPLES[:256, :1] if space == "GRAY" else _SAMPLES[:, None]
    made = ImageCms.applyTransform(Pillow.fromarray(given), transform)
    changed = np.asarray(made).reshape(-1, BGR).astype(np.int16) - _SAMPLES[: len(given)]
    return transform if np.abs(changed).max() > _ROUNDING else None


def _transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None for a profile that is broken, too long a program, or of another kind of image."""
    if _stages(icc) > MAX_STAGES:
        return None
    try:
        target = ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(io.BytesIO(icc), target, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=16)
def _described(icc: bytes) -> tuple[str, str]:
    """Colour space and name; both empty where the profile is broken."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
        name = (profile.profile_description or "").strip()
        space = profile.xcolor_space.strip()
    except (OSError, ValueError, TypeError):
        return "", ""
    return space, "".join(each for each in name if each.isprintable())[:MAX_ICC_NAME]


def _stages(icc: bytes) -> int:
    """Stages of the longest pipeline in the profile, pieces of its curves included."""
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
    """Of the multiProcessElements type (ICC.1:2022, 10.16); the other types are tables."""
    if icc[at : at + 4] != b"mpet" or len(icc) < at + 16:
        return 0
    (stages,) = struct.unpack_from(">I", icc, at + 12)
    found = int(stages)
    for n in range(min(stages, MAX_STAGES)):
        place = icc[at + 16 + 8 * n : at + 20 + 8 * n]
        found += _pieces(icc, at + int.from_bytes(place, "big"))
    return found


def _pieces(icc: bytes, at: int) -> int:
    """Segments of the curves of a curve set beyond one a curve (ICC.1:2022, 10.16.2)."""
    if icc[at : at + 4] != b"cvst":
        return 0
    found, curves = 0, int.from_bytes(icc[at + 8 : at + 10], "big")
    for n in range(min(curves, _MAX_CHANNELS)):
        place = icc[at + 12 + 8 * n : at + 16 + 8 * n]
        curve = at + int.from_bytes(place, "big")
        found += int.from_bytes(icc[curve + 8 : curve + 10], "big")
    return found


def _lab_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
