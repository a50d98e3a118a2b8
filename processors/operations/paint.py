"""Conversion of a preset's colours to pixels, and replacement of colour and alpha channels."""

from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from processors.image import BGR, Image, Pixels

Color = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}([0-9a-f]{2})?$")]
"""`#rrggbb`, or `#rrggbbaa` with 00 for transparent."""

_OPAQUE = 255
# Factor from 8-bit to 16-bit samples; it maps 255 to 65,535.
_DEEP = 257


def sample_of(color: Color, like: Image) -> tuple[int, ...]:
    """Convert a colour to one pixel, with the channels and the depth of `like`."""
    red, green, blue, alpha = _parts(color)
    factor = _DEEP if like.is_deep else 1
    pixel = [each * factor for each in (blue, green, red, alpha)]
    return tuple(pixel[: like.pixels.shape[2]])


def with_room_for(image: Image, color: Color | None) -> tuple[Image, tuple[int, ...]]:
    """Return the image, with an alpha channel if the colour needs one, and the colour's pixel.

    Without a colour: transparent if the image has alpha, otherwise white.
    """
    chosen = color or ("#ffffff00" if image.has_alpha else "#ffffff")
    if _parts(chosen)[3] < _OPAQUE:
        image = with_alpha(image)
    return image, sample_of(chosen, image)


def with_alpha(image: Image) -> Image:
    """Return the image with an alpha channel; an added one is opaque."""
    if image.has_alpha:
        return image
    # cv2.cvtColor is not used: some releases of OpenCV add 255 of 65,535 as opaque.
    height, width = image.pixels.shape[:2]
    alpha = np.full((height, width, 1), np.iinfo(image.pixels.dtype).max, image.pixels.dtype)
    return image.with_pixels(np.concatenate([image.pixels, alpha], axis=2))


def with_colours(image: Image, colours: NDArray[Any]) -> Image:
    """Replace the colours of an image and keep its alpha.

    `colours` has the depth of the image, and three channels or one (grey).
    """
    if colours.ndim < BGR:
        colours = cv2.cvtColor(colours, cv2.COLOR_GRAY2BGR)
    if image.has_alpha:
        colours = np.concatenate([colours, image.pixels[:, :, BGR:]], axis=2)
    return image.with_pixels(np.ascontiguousarray(colours))


def colours_of(image: Image) -> Pixels:
    """Return the three colour channels as a contiguous array."""
    return np.ascontiguousarray(image.pixels[:, :, :BGR])


def _parts(color: Color) -> tuple[int, int, int, int]:
    red, green, blue, *alpha = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue, alpha[0] if alpha else _OPAQUE
