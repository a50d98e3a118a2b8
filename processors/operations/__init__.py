"""The operations that a preset may name, each in its own file; a new one is added here."""

from typing import Annotated

from pydantic import Field

from processors.operations.crop import Crop
from processors.operations.fill import Fill
from processors.operations.fit import Fit
from processors.operations.operation import Operation
from processors.operations.resize import Resize

OPERATIONS: dict[str, type[Operation]] = {
    "crop": Crop,
    "fill": Fill,
    "fit": Fit,
    "resize": Resize,
}
"""By the name that stands in `op`."""

AnyOperation = Annotated[Crop | Fill | Fit | Resize, Field(discriminator="op")]
"""What a preset's JSON is read as."""

__all__ = ["OPERATIONS", "AnyOperation", "Crop", "Fill", "Fit", "Operation", "Resize"]
