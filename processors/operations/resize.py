"""Resize: to an exact width, height or both; both stretch the image."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from processors.image import Image
from processors.operations.operation import MAX_SIDE, Operation


class Resize(Operation):
    """Scale to exactly this size; a side not given follows by the aspect ratio.

    A side that the image has not stays as it is, unless `enlarge`.
    """

    keeps_depth: ClassVar[bool] = True

    op: Literal["resize"] = "resize"
    width: int | None = Field(default=None, ge=1, le=MAX_SIDE, description="in pixels")
    height: int | None = Field(default=None, ge=1, le=MAX_SIDE, description="in pixels")
    enlarge: bool = Field(default=False, description="scale smaller images up, too")

    @model_validator(mode="after")
    def _given(self) -> Self:
        if self.width is None and self.height is None:
            raise ValueError("width, height or both")
        return self

    def __call__(self, image: Image) -> Image:
        """Exactly this size."""
        return image.resized(*self.size_after(image.width, image.height))

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """As `__call__` leaves it."""
        wanted = self._size(width, height)
        if self.enlarge:
            return wanted
        return min(wanted[0], width), min(wanted[1], height)

    def scale_needed(self, width: int, height: int) -> float:
        """As small as the result: finer detail is averaged away anyway."""
        wanted = self._size(width, height)
        return min(1.0, max(wanted[0] / width, wanted[1] / height))

    def _size(self, width: int, height: int) -> tuple[int, int]:
        by_height = round(width * (self.height or 0) / height)
        by_width = round(height * (self.width or 0) / width)
        # Thin images could grow without bound in the side that nobody named.
        return (
            self.width or max(1, min(by_height, MAX_SIDE)),
            self.height or max(1, min(by_width, MAX_SIDE)),
        )
