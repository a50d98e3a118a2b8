"""Scale and crop an image so that it fills a box."""

from typing import ClassVar, Literal

from pydantic import Field

from processors.image import Image
from processors.operations.crop import GRAVITY, Crop, CropGravity
from processors.operations.operation import MAX_SIDE, Operation


class Fill(Operation):
    """Scale the image until it covers the box, then crop it to the box.

    With `enlarge` every result has the size of the box. Without `enlarge`, an image smaller than
    the box is only cropped, to the largest part that has the aspect ratio of the box.
    """

    keeps_depth: ClassVar[bool] = True

    op: Literal["fill"] = "fill"
    width: int = Field(ge=1, le=MAX_SIDE, description="width in pixels")
    height: int = Field(ge=1, le=MAX_SIDE, description="height in pixels")
    gravity: CropGravity = Field(default="center", description=GRAVITY)
    enlarge: bool = Field(default=False, description="also scale up smaller images")

    def __call__(self, image: Image) -> Image:
        """Return an image of the size, or at least of the aspect ratio, of the box."""
        # Cropped before it is scaled: scaling up a whole banner would also scale the parts that
        # are cut off.
        kept = self._kept(image.width, image.height)
        part = Crop(width=kept[0], height=kept[1], gravity=self.gravity)
        return part(image).resized(*self.size_after(image.width, image.height))

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the result."""
        if self.enlarge or self._scale(width, height) <= 1:
            return self.width, self.height
        return self._kept(width, height)

    def scale_needed(self, width: int, height: int) -> float:
        """Scale of the result, at most 1: scaling down averages finer detail away."""
        return min(1.0, self._scale(width, height))

    def _scale(self, width: int, height: int) -> float:
        return max(self.width / width, self.height / height)

    def _kept(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the largest part of an image with the aspect ratio of the box."""
        scale = self._scale(width, height)
        return (
            max(1, min(width, round(self.width / scale))),
            max(1, min(height, round(self.height / scale))),
        )
