"""Decoded pixels (`Image`), the input and output of operations, and scaling of pixels."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8 | np.uint16]
"""Pixels of 8 bits a sample, or of 16 bits for an output format that keeps them."""

Samples = NDArray[np.uint8 | np.uint16 | np.float32]
"""Pixels inside a filter."""

BGR, BGRA = 3, 4
_OPAQUE = 255
WHITE = "#ffffff"
_SMALLEST_HALVED = 512
# Halving drops the last row or column of an odd side, which stretches the rest. If the side is 16
# times as long as the result, the error is a sixteenth of a pixel. At 4 times the error is visible
# (SSIM 0.96 instead of 0.997).
_ODD_HALVED = 16


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Image in memory: height x width x 3 (BGR) or 4 (BGRA, not premultiplied), in sRGB.

    Samples are uint8, or uint16 in full range if the image is deep. An image is immutable:
    operations return a new one.
    """

    pixels: Pixels

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        right_type = self.pixels.dtype in (np.uint8, np.uint16)
        if not right_type or len(shape) != 3 or shape[2] not in {BGR, BGRA}:  # noqa: PLR2004 - rows, columns, channels
            raise ValueError(f"not BGR or BGRA in uint8 or uint16: {self.pixels.dtype} {shape}")

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def has_alpha(self) -> bool:
        """True if the image has an alpha channel."""
        return bool(self.pixels.shape[2] == BGRA)

    @property
    def is_deep(self) -> bool:
        """True if the image has 16 bits a sample."""
        return bool(self.pixels.dtype == np.uint16)

    def in_8_bits(self) -> "Image":
        """Return an image with the upper byte of each 16-bit sample."""
        return self.with_pixels(upper_bytes(self.pixels)) if self.is_deep else self

    def with_pixels(self, pixels: Pixels) -> "Image":
        """Return an image with other pixels."""
        return replace(self, pixels=pixels)

    def without_empty_alpha(self) -> "Image":
        """Return the image without its alpha channel if every pixel is opaque."""
        opaque = np.iinfo(self.pixels.dtype).max
        if not self.has_alpha or int(self.pixels[:, :, 3].min()) < opaque:
            return self
        return self.with_pixels(np.ascontiguousarray(self.pixels[:, :, :BGR]))

    def on_white(self) -> "Image":
        """Return the image composited over white: three channels, 8 bits if it had alpha."""
        return self.flattened(WHITE)

    def flattened(self, background: str) -> "Image":
        """Return the image composited over `#rrggbb`: three channels, 8 bits if it had alpha."""
        if not self.has_alpha:
            return self
        pixels = self.in_8_bits().pixels
        alpha = pixels[:, :, 3:]
        weight = cv2.merge([alpha, alpha, alpha])
        over = cv2.multiply(np.ascontiguousarray(pixels[:, :, :BGR]), weight, scale=1 / _OPAQUE)
        under = cv2.bitwise_not(weight)
        if background != WHITE:
            red, green, blue = bytes.fromhex(background.removeprefix("#"))
            colour = np.full_like(under, (blue, green, red))
            under = cv2.multiply(under, colour, scale=1 / _OPAQUE)
        return self.with_pixels(cv2.add(over, under).astype(np.uint8, copy=False))

    def resized(self, width: int, height: int) -> "Image":
        """Return the image scaled to this size: by area averaging, or cubic to enlarge."""
        if (width, height) == (self.width, self.height):
            return self
        return self.filtered(lambda pixels: _scaled(pixels, width, height))

    def filtered(self, linear: Callable[[Samples], Samples]) -> "Image":
        """Apply a filter that averages neighbouring pixels; the size may change.

        The filter gets premultiplied colours, so that colours of transparent pixels do not bleed
        into edges: uint8 or uint16, or float32 of 0 to 65,535 for 16 bits with alpha, which OpenCV
        cannot premultiply.
        """
        if not self.has_alpha:
            return self.with_pixels(_as(linear(self.pixels), self.pixels))
        if self.is_deep:
            return self.with_pixels(_filtered_deep_alpha(self.pixels, linear))
        weighted = cv2.cvtColor(self.pixels, cv2.COLOR_RGBA2mRGBA).astype(np.uint8, copy=False)
        made = linear(weighted).astype(np.uint8, copy=False)
        return self.with_pixels(_as(cv2.cvtColor(made, cv2.COLOR_mRGBA2RGBA), self.pixels))


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """Scale pixels of one to four channels to exactly this size."""
    while _is_halvable(pixels.shape[1], width) and _is_halvable(pixels.shape[0], height):
        pixels = _halve(pixels)
    shrinks = width <= pixels.shape[1] and height <= pixels.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return _as(cv2.resize(pixels, (width, height), interpolation=how), pixels)


def within(image: Image, side: int) -> tuple[int, int]:
    """Width and height of `image` when its longer side is reduced to at most `side`."""
    scale = min(1.0, side / max(image.width, image.height))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def upper_bytes(samples: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return the upper byte of each 16-bit sample."""
    # Takes every second byte (little-endian), because a shift needs three times the memory.
    return np.ascontiguousarray(samples.view(np.uint8)[..., 1::2])


def _scaled(pixels: Samples, width: int, height: int) -> Samples:
    if pixels.dtype == np.float32:
        scaled = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        return scaled.astype(np.float32, copy=False)
    return resize(pixels, width, height)  # type: ignore[arg-type]  # float32 is done


def _filtered_deep_alpha(pixels: Pixels, linear: Callable[[Samples], Samples]) -> Pixels:
    # OpenCV premultiplies 8 bits only. Floats are large, so most steps work in place, and each
    # replaced array is freed at once.
    opaque = np.float32(np.iinfo(np.uint16).max)
    samples = pixels.astype(np.float32)
    samples[:, :, :BGR] *= samples[:, :, BGR:] / opaque
    samples = linear(samples).astype(np.float32, copy=False)
    alpha = samples[:, :, BGR:]
    np.clip(alpha, 0, opaque, out=alpha)
    samples[:, :, :BGR] *= opaque / np.maximum(alpha, 1)
    np.rint(samples, out=samples)
    np.clip(samples, 0, opaque, out=samples)
    return samples.astype(np.uint16)


def _as(made: NDArray[np.generic], pixels: Pixels) -> Pixels:
    """Convert the type of `made` to that of `pixels`."""
    if pixels.dtype == np.uint16:
        return made.astype(np.uint16, copy=False)
    return made.astype(np.uint8, copy=False)


def _is_halvable(side: int, wanted: int) -> bool:
    least = _ODD_HALVED * wanted if side % 2 else 2 * wanted
    return side >= max(least, _SMALLEST_HALVED)


def _halve(pixels: Pixels) -> Pixels:
    # Halving uses OpenCV's fast path: 0.3 ns a pixel instead of 6.
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    even = pixels[: 2 * height, : 2 * width]
    halved = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    return _as(halved, pixels)
