"""What every operation is: parameters checked when it is made, an image in, an image out."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from processors.image import Image

MAX_SIDE = 16_384
"""Largest width or height that an operation may ask for, in pixels; JPEG ends at 65,535."""


class Operation(BaseModel):
    """One step of a rendition. Subclasses add a literal `op` and their parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keeps_depth: ClassVar[bool] = False
    """True if 16 bits a sample may come in, and go out again; others are given 8."""

    op: str

    def __call__(self, image: Image) -> Image:
        """Another image; the one given stays as it was."""
        raise NotImplementedError

    def size_after(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that an image of that size comes out with, known before it is decoded.

        Whoever changes the size says so here, or the limit on outputs is checked too late.
        """
        return width, height

    def scale_needed(self, width: int, height: int) -> float:
        """How small a source will do, as a fraction of an image of that size: 1 is all of it.

        Lets a JPEG be decoded at a half, a quarter or an eighth. An operation that places
        something in pixels of its source needs 1.
        """
        del width, height
        return 1.0
