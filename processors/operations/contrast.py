"""Contrast change: moves samples away from middle grey or towards it."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from processors.image import Image
from processors.operations.curve import curved
from processors.operations.operation import Operation

_MIDDLE = 0.5


class Contrast(Operation):
    """Multiply the distance from middle grey by 1 + amount / 100."""

    keeps_depth: ClassVar[bool] = True

    op: Literal["contrast"] = "contrast"
    amount: float = Field(ge=-100, le=400, description="-100 is all grey, 100 doubles it")

    def __call__(self, image: Image) -> Image:
        """Return the image with more or less contrast."""
        factor = 1 + self.amount / 100

        def spread(samples: NDArray[np.float64]) -> NDArray[np.float64]:
            return _MIDDLE + (samples - _MIDDLE) * factor

        return curved(image, spread)
