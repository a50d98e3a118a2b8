"""Fill: cover a box exactly; what sticks out is cut off."""

from typing import ClassVar, Literal

from pydantic import Field

from processors.image import Image
from processors.operations.crop import Crop, Gravity
from processors.operations.operation import MAX_SIDE, Operation


class Fill(Operation):
    """Scale until the box is covered, then crop to it: every result has the same size."""

    keeps_depth: ClassVar[bool] = True

    op: Literal["fill"] = "fill"
    width: int = Field(ge=1, le=MAX_SIDE, description="in pixels")
    height: int = Field(ge=1, le=MAX_SIDE, description="in pixels")
    gravity: Gravity = Field(default="center", description="which part is kept")

    def __call__(self, image: Image) -> Image:
        """Exactly this size."""
        # Cut first: to scale a banner up until its height covers would take its whole length.
        part = Crop(width=self._kept(image)[0], height=self._kept(image)[1], gravity=self.gravity)
        return part(image).resized(self.width, self.height)

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """As `__call__` leaves it."""
        del width, height
        return self.width, self.height

    def scale_needed(self, width: int, height: int) -> float:
        """As small as the result: finer detail is averaged away anyway."""
        return min(1.0, max(self.width / width, self.height / height))

    def _kept(self, image: Image) -> tuple[int, int]:
        """The largest part of the image that has the aspect ratio of the box."""
        scale = max(self.width / image.width, self.height / image.height)
        return (
            max(1, min(image.width, round(self.width / scale))),
            max(1, min(image.height, round(self.height / scale))),
        )
