"""Brightness change: adds the same amount to every sample."""

from typing import ClassVar, Literal

from pydantic import Field

from processors.image import Image
from processors.operations.curve import curved
from processors.operations.operation import Operation


class Brightness(Operation):
    """Add an amount to every sample, in per cent of white."""

    keeps_depth: ClassVar[bool] = True

    op: Literal["brightness"] = "brightness"
    amount: float = Field(ge=-100, le=100, description="-100 is black, 100 is white")

    def __call__(self, image: Image) -> Image:
        """Return the brighter or darker image."""
        return curved(image, lambda samples: samples + self.amount / 100)
