"""Fit: as large as possible within a width, a height or a box; the aspect ratio stays."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from processors.image import Image
from processors.operations.operation import MAX_SIDE, Operation


class Fit(Operation):
    """Scale to fit; smaller images stay as they are, unless `enlarge`."""

    keeps_depth: ClassVar[bool] = True

    op: Literal["fit"] = "fit"
    width: int | None = Field(default=None, ge=1, le=MAX_SIDE, description="at most, in pixels")
    height: int | None = Field(default=None, ge=1, le=MAX_SIDE, description="at most, in pixels")
    enlarge: bool = Field(default=False, description="scale smaller images up, too")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.width is None and self.height is None:
            raise ValueError("width, height or both")
        return self

    def __call__(self, image: Image) -> Image:
        """No larger than the bounds."""
        return image.resized(*self.size_after(image.width, image.height))

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """As `__call__` leaves it."""
        scale = self._scale(width, height)
        if scale == 1:
            return width, height
        return _side(width * scale, self.width), _side(height * scale, self.height)

    def scale_needed(self, width: int, height: int) -> float:
        """As small as the result: finer detail is averaged away anyway."""
        return min(1.0, self._scale(width, height))

    def _scale(self, width: int, height: int) -> float:
        scale = min(
            self.width / width if self.width else float("inf"),
            self.height / height if self.height else float("inf"),
        )
        return scale if self.enlarge else min(1.0, scale)


def _side(exact: float, bound: int | None) -> int:
    # Up to a hair above the bound by rounding; at least one pixel of a very thin image.
    return max(1, min(round(exact), bound or MAX_SIDE))
