"""Scale an image to an exact width, height or both; both together may stretch the image."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from processors.image import Image
from processors.operations.operation import MAX_SIDE, Operation


class Resize(Operation):
    """Scale the image to an exact size; a side that is not given follows from the aspect ratio.

    Without `enlarge`, a side that is shorter than the given one does not change.
    """

    keeps_depth: ClassVar[bool] = True

    op: Literal["resize"] = "resize"
    width: int | None = Field(default=None, ge=1, le=MAX_SIDE, description="width in pixels")
    height: int | None = Field(default=None, ge=1, le=MAX_SIDE, description="height in pixels")
    enlarge: bool = Field(default=False, description="also scale up smaller images")

    @model_validator(mode="after")
    def _given(self) -> Self:
        if self.width is None and self.height is None:
            raise ValueError("give width, height or both")
        return self

    def __call__(self, image: Image) -> Image:
        """Return the scaled image."""
        return image.resized(*self.size_after(image.width, image.height))

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the result."""
        wanted = self._size(width, height)
        if self.enlarge:
            return wanted
        return min(wanted[0], width), min(wanted[1], height)

    def scale_needed(self, width: int, height: int) -> float:
        """Scale of the result, at most 1: scaling down averages finer detail away."""
        wanted = self._size(width, height)
        return min(1.0, max(wanted[0] / width, wanted[1] / height))

    def _size(self, width: int, height: int) -> tuple[int, int]:
        by_height = round(width * (self.height or 0) / height)
        by_width = round(height * (self.width or 0) / width)
        # Without this bound, the side that is not given could become very long for a thin image.
        return (
            self.width or max(1, min(by_height, MAX_SIDE)),
            self.height or max(1, min(by_width, MAX_SIDE)),
        )
