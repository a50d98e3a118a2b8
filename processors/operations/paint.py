"""Colours that a preset names, as pixels of an image; and what is put where nothing was."""

from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from processors.image import BGR, Image, Pixels

Color = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}([0-9a-f]{2})?$")]
"""`#rrggbb`, or `#rrggbbaa` with 00 for transparent."""

_OPAQUE = 255
# Of 16 bits for one of 8: white stays white.
_DEEP = 257


def sample_of(color: Color, like: Image) -> tuple[int, ...]:
    """The colour as one pixel, with as many channels and as deep as those of `like`."""
    red, green, blue, alpha = _parts(color)
    factor = _DEEP if like.is_deep else 1
    pixel = [each * factor for each in (blue, green, red, alpha)]
    return tuple(pixel[: like.pixels.shape[2]])


def with_room_for(image: Image, color: Color | None) -> tuple[Image, tuple[int, ...]]:
    """The image with an alpha channel if the colour needs one, and the colour as its pixel.

    None is transparent where the image has alpha, and white where it has not.
    """
    chosen = color or ("#ffffff00" if image.has_alpha else "#ffffff")
    if _parts(chosen)[3] < _OPAQUE:
        image = with_alpha(image)
    return image, sample_of(chosen, image)


def with_alpha(image: Image) -> Image:
    """The image with an alpha channel, opaque if it had none."""
    if image.has_alpha:
        return image
    # By hand: OpenCV's own opaque is 255 of 65,535 in some releases.
    height, width = image.pixels.shape[:2]
    alpha = np.full((height, width, 1), np.iinfo(image.pixels.dtype).max, image.pixels.dtype)
    return image.with_pixels(np.concatenate([image.pixels, alpha], axis=2))


def with_colours(image: Image, colours: NDArray[Any]) -> Image:
    """Other colours as deep as those of `image`, or one grey, under the alpha that there was."""
    if colours.ndim < BGR:
        colours = cv2.cvtColor(colours, cv2.COLOR_GRAY2BGR)
    if image.has_alpha:
        colours = np.concatenate([colours, image.pixels[:, :, BGR:]], axis=2)
    return image.with_pixels(np.ascontiguousarray(colours))


def colours_of(image: Image) -> Pixels:
    """The three channels of colour, contiguous."""
    return np.ascontiguousarray(image.pixels[:, :, :BGR])


def _parts(color: Color) -> tuple[int, int, int, int]:
    red, green, blue, *alpha = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue, alpha[0] if alpha else _OPAQUE
