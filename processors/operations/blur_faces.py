"""Face redaction: detects faces and makes them unrecognisable."""

from typing import ClassVar, Literal

from pydantic import Field

from processors.faces import Face, find_faces
from processors.image import Image
from processors.operations.cover import Cover, covered
from processors.operations.operation import Operation
from processors.operations.paint import Color

# Longer sides of the two copies that are searched. The model finds faces of 10 to 300 pixels: small
# faces in the larger copy, large faces in the smaller one.
_LOOKED_AT = (1280, 320)


class BlurFaces(Operation):
    """Redact upright faces that are at least about a hundredth of the image's width.

    No detector finds every face. Check the results before you call them anonymous.
    """

    keeps_depth: ClassVar[bool] = True

    milliseconds: ClassVar[float] = 45

    op: Literal["blur_faces"] = "blur_faces"
    mode: Cover = Field(default="blur", description="how faces are covered, as in `redact`")
    padding: float = Field(
        default=0.2, ge=0, le=1, description="margin on each side, as a part of the face's box"
    )
    color: Color = Field(default="#000000", description="colour of the boxes with `fill`")

    def __call__(self, image: Image) -> Image:
        """Return the image with all detected faces covered; the same image if there are none."""
        faces = {face for side in _LOOKED_AT for face in find_faces(image, side)}
        if not faces:
            return image
        boxes = [self._padded(face) for face in sorted(faces)]
        return covered(image, boxes, self.mode, self.color)

    def _padded(self, face: Face) -> tuple[int, int, int, int]:
        across, down = round(face.width * self.padding), round(face.height * self.padding)
        left, top = max(0, face.x - across), max(0, face.y - down)
        right, bottom = face.x + face.width + across, face.y + face.height + down
        return left, top, right - left, bottom - top
