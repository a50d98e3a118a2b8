"""Colour profiles: from whatever a file was made in to sRGB, by LittleCMS through Pillow."""

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from processors.image import BGR

MAX_ICC_NAME = 80
"""Longest name of a profile that is passed on, in characters."""

# Rows converted at once: copies of a part need no memory worth counting.
_STRIP_ROWS = 512


def to_srgb(pixels: NDArray[np.uint8], icc: bytes, *, grey: bool) -> NDArray[np.uint8]:
    """BGR or BGRA by its profile, in place where it can; as it is where the profile is no use.

    `grey`: the three channels are copies of one, and the profile is one of grey.
    """
    mode = "L" if grey else "RGB"
    transform = None if is_srgb(icc) else _transform(icc, mode)
    if transform is None:
        return pixels
    for top in range(0, pixels.shape[0], _STRIP_ROWS):
        part = pixels[top : top + _STRIP_ROWS, :, :BGR]
        shown = np.ascontiguousarray(part[:, :, 0] if grey else part[:, :, ::-1])
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


def _transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None for a profile that is broken, or of another kind of image."""
    try:
        target = ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(io.BytesIO(icc), target, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def is_srgb(icc: bytes) -> bool:
    """True if there is nothing to convert: most photographs carry it, at 14 ns a pixel."""
    space, name = _described(icc)
    return space == "RGB" and name.startswith("sRGB")


def profile_name(icc: bytes) -> str | None:
    """What a profile calls itself, cut to 80 printable characters; None if it does not parse."""
    return _described(icc)[1] or None


# A camera writes the same one into all of its photographs.
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


def _lab_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
