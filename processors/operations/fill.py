"""Fill: cover a box; what sticks out is cut off."""

from typing import ClassVar, Literal

from pydantic import Field

from processors.image import Image
from processors.operations.crop import GRAVITY, Crop, CropGravity
from processors.operations.operation import MAX_SIDE, Operation


class Fill(Operation):
    """Scale until the box is covered, then crop to it.

    An image smaller than the box gives the largest box of that shape that it can cover, unless
    `enlarge`: then every result has the same size.
    """

    keeps_depth: ClassVar[bool] = True

    op: Literal["fill"] = "fill"
    width: int = Field(ge=1, le=MAX_SIDE, description="in pixels")
    height: int = Field(ge=1, le=MAX_SIDE, description="in pixels")
    gravity: CropGravity = Field(default="center", description=GRAVITY)
    enlarge: bool = Field(default=False, description="scale smaller images up, too")

    def __call__(self, image: Image) -> Image:
        """This size, or its shape."""
        # Cut first: to scale a banner up until its height covers would take its whole length.
        kept = self._kept(image.width, image.height)
        part = Crop(width=kept[0], height=kept[1], gravity=self.gravity)
        return part(image).resized(*self.size_after(image.width, image.height))

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """As `__call__` leaves it."""
        if self.enlarge or self._scale(width, height) <= 1:
            return self.width, self.height
        return self._kept(width, height)

    def scale_needed(self, width: int, height: int) -> float:
        """As small as the result: finer detail is averaged away anyway."""
        return min(1.0, self._scale(width, height))

    def _scale(self, width: int, height: int) -> float:
        return max(self.width / width, self.height / height)

    def _kept(self, width: int, height: int) -> tuple[int, int]:
        """The largest part of an image that has the aspect ratio of the box."""
        scale = self._scale(width, height)
        return (
            max(1, min(width, round(self.width / scale))),
            max(1, min(height, round(self.height / scale))),
        )
