"""Gamma change: makes mid-tones brighter or darker; black and white do not change."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from processors.image import Image
from processors.operations.curve import curved
from processors.operations.operation import Operation


class Gamma(Operation):
    """Raise samples, as fractions of white, to the power of 1 / gamma."""

    keeps_depth: ClassVar[bool] = True

    op: Literal["gamma"] = "gamma"
    gamma: float = Field(ge=0.1, le=10, description="above 1 brightens mid-tones")

    def __call__(self, image: Image) -> Image:
        """Return the image with other mid-tones."""
        return curved(image, lambda samples: np.power(samples, 1 / self.gamma))
