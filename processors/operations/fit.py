"""Scale an image to fit into a width, a height or a box; the aspect ratio does not change."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from processors.image import Image
from processors.operations.operation import MAX_SIDE, Operation


class Fit(Operation):
    """Scale the image to fit; smaller images do not change without `enlarge`."""

    keeps_depth: ClassVar[bool] = True

    op: Literal["fit"] = "fit"
    width: int | None = Field(
        default=None, ge=1, le=MAX_SIDE, description="largest width, in pixels"
    )
    height: int | None = Field(
        default=None, ge=1, le=MAX_SIDE, description="largest height, in pixels"
    )
    enlarge: bool = Field(default=False, description="also scale up smaller images")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.width is None and self.height is None:
            raise ValueError("give width, height or both")
        return self

    def __call__(self, image: Image) -> Image:
        """Return the image scaled to the bounds."""
        return image.resized(*self.size_after(image.width, image.height))

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the result."""
        scale = self._scale(width, height)
        if scale == 1:
            return width, height
        return _side(width * scale, self.width), _side(height * scale, self.height)

    def scale_needed(self, width: int, height: int) -> float:
        """Scale of the result, at most 1: scaling down averages finer detail away."""
        return min(1.0, self._scale(width, height))

    def _scale(self, width: int, height: int) -> float:
        scale = min(
            self.width / width if self.width else float("inf"),
            self.height / height if self.height else float("inf"),
        )
        return scale if self.enlarge else min(1.0, scale)


def _side(exact: float, bound: int | None) -> int:
    # Rounding could give one pixel above the bound, or 0 pixels for a very thin image.
    return max(1, min(round(exact), bound or MAX_SIDE))
