"""Watermark: a picture or a line of text over an image."""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from processors.image import BGR, Image
from processors.operations.mark import (
    MAX_IMAGE_CHARACTERS,
    MAX_TEXT,
    checked_picture,
    checked_text,
    picture,
    written,
)
from processors.operations.operation import MEGAPIXEL, Gravity, Operation, offset
from processors.operations.paint import Color

_OPAQUE = 255
# Rows composited at once, so that the floats need little memory.
_STRIP_ROWS = 256


class Watermark(Operation):
    """Lay a PNG or text over the image; its width is a fraction of the image's width."""

    op: Literal["watermark"] = "watermark"
    image: str | None = Field(
        default=None,
        max_length=MAX_IMAGE_CHARACTERS,
        description="a PNG of at most 64 KiB and one megapixel, as base64",
    )
    text: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_TEXT,
        description="one line, instead of an image; Latin, Greek, Cyrillic, Chinese, Japanese",
    )
    color: Color = Field(default="#ffffff", description="colour of text")
    gravity: Gravity = Field(default="bottom_right", description="position of the watermark")
    scale: float = Field(
        default=0.25,
        ge=0.01,
        le=1,
        description="width of the watermark, as a fraction of the image's width",
    )
    margin: int = Field(
        default=10,
        ge=0,
        le=1000,
        description="largest distance of the watermark from the edges, in pixels",
    )
    opacity: float = Field(
        default=0.7, gt=0, le=1, description="opacity of the watermark; 1 hides the image below"
    )

    @field_validator("image")
    @classmethod
    def _is_a_picture(cls, value: str | None) -> str | None:
        return value if value is None else checked_picture(value)

    @field_validator("text")
    @classmethod
    def _is_text(cls, value: str | None) -> str | None:
        return value if value is None else checked_text(value)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.image is None) == (self.text is None):
            raise ValueError("give either image or text")
        return self

    def price(self, width: int, height: int) -> float:
        """Price of an image of that size and of the watermark's pixels, at most a megapixel."""
        return self.milliseconds * (width * height / MEGAPIXEL + 1)

    def __call__(self, image: Image) -> Image:
        """Return the image with the watermark; a watermark is never larger than the image."""
        width = max(1, round(image.width * self.scale))
        mark = self._mark(width)
        shrink = min(width / mark.width, image.height / mark.height)
        mark = mark.resized(
            min(image.width, max(1, round(mark.width * shrink))),
            min(image.height, max(1, round(mark.height * shrink))),
        )
        left, top = self._place(image.width - mark.width, image.height - mark.height)
        pixels = image.pixels.astype(np.uint8)  # a copy
        for row in range(0, mark.height, _STRIP_ROWS):
            part = mark.pixels[row : row + _STRIP_ROWS].astype(np.uint8, copy=False)
            under = pixels[top + row : top + row + part.shape[0], left : left + mark.width]
            under[:] = _over(part, under, self.opacity)
        return image.with_pixels(pixels)

    def _mark(self, width: int) -> Image:
        if self.text is not None:
            return written(self.text, self.color, width)
        return picture(self.image or "")

    def _place(self, spare_x: int, spare_y: int) -> tuple[int, int]:
        inset_x, inset_y = min(self.margin, spare_x // 2), min(self.margin, spare_y // 2)
        left, top = offset(spare_x - 2 * inset_x, spare_y - 2 * inset_y, self.gravity)
        return left + inset_x, top + inset_y


def _over(mark: NDArray[np.uint8], under: NDArray[np.uint8], opacity: float) -> NDArray[np.uint8]:
    """Composite with Porter and Duff's `over`; the result has alpha if `under` has alpha."""
    seen = mark[:, :, BGR:].astype(np.float32) * np.float32(opacity / _OPAQUE)
    if under.shape[2] == BGR:
        return _bytes(mark[:, :, :BGR] * seen + under * (1 - seen))
    below = under[:, :, BGR:].astype(np.float32) / np.float32(_OPAQUE) * (1 - seen)
    whole = seen + below
    made = (mark[:, :, :BGR] * seen + under[:, :, :BGR] * below) / np.maximum(whole, 1e-6)
    return _bytes(np.concatenate([made, whole * _OPAQUE], axis=2))


def _bytes(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    whole: NDArray[np.uint8] = np.rint(samples).astype(np.uint8)
    return whole
