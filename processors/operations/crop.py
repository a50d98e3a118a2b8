"""Crop to a rectangle of a given size, or less on a side that is shorter."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from processors.faces import Face, find_faces
from processors.image import Image
from processors.operations.operation import MAX_SIDE, Gravity, Operation, offset
from processors.operations.saliency import busiest

CropGravity = Gravity | Literal["smart", "face"]
"""Part to keep; `smart`: the part with most edges; `face`: the part around the largest face."""

GRAVITY = (
    "part to keep; `smart`: the part with most edges; `face`: the part around the largest face, or "
    "as `smart` if no face is found"
)


class Crop(Operation):
    """Keep `width` x `height` pixels, or all of a side that is shorter.

    `x` and `y` place the box; a box that would extend beyond the image is moved inside. Without
    `x` and `y`, `gravity` places the box.
    """

    keeps_depth: ClassVar[bool] = True

    op: Literal["crop"] = "crop"
    width: int = Field(ge=1, le=MAX_SIDE, description="width in pixels")
    height: int = Field(ge=1, le=MAX_SIDE, description="height in pixels")
    x: int | None = Field(default=None, ge=0, le=MAX_SIDE, description="left edge, in pixels")
    y: int | None = Field(default=None, ge=0, le=MAX_SIDE, description="upper edge, in pixels")
    gravity: CropGravity = Field(default="center", description=GRAVITY)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.x is None) != (self.y is None):
            raise ValueError("give both x and y, or neither")
        if self.x is not None and self.gravity != "center":
            raise ValueError("give x and y, or gravity, not all three")
        return self

    def __call__(self, image: Image) -> Image:
        """Return the cropped image; the same image if it is no larger than the box."""
        width, height = self.size_after(image.width, image.height)
        if (width, height) == (image.width, image.height):
            return image
        left, top = self._place(image, width, height)
        return image.with_pixels(image.pixels[top : top + height, left : left + width].copy())

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the result."""
        return min(self.width, width), min(self.height, height)

    def _place(self, image: Image, width: int, height: int) -> tuple[int, int]:
        spare_x, spare_y = image.width - width, image.height - height
        if self.x is not None and self.y is not None:
            return min(self.x, spare_x), min(self.y, spare_y)
        if self.gravity == "face" and (faces := find_faces(image)):
            return _around(faces[0], image, width, height)
        if self.gravity in {"smart", "face"}:
            return busiest(image, width, height)
        return offset(spare_x, spare_y, self.gravity)  # type: ignore[arg-type]  # the rest is done


def _around(face: Face, image: Image, width: int, height: int) -> tuple[int, int]:
    """Left and top of the box whose centre is nearest to the face's centre."""
    left, top = face.x + face.width // 2 - width // 2, face.y + face.height // 2 - height // 2
    return max(0, min(left, image.width - width)), max(0, min(top, image.height - height))
