"""Registry of the operations that a preset may name; each operation has its own file."""

from typing import Annotated, get_args

from pydantic import Field

from processors.operations.blur import Blur
from processors.operations.blur_faces import BlurFaces
from processors.operations.brightness import Brightness
from processors.operations.canny import Canny
from processors.operations.clahe import Clahe
from processors.operations.contrast import Contrast
from processors.operations.crop import Crop
from processors.operations.denoise import Denoise
from processors.operations.fill import Fill
from processors.operations.fit import Fit
from processors.operations.flip import Flip
from processors.operations.gamma import Gamma
from processors.operations.grayscale import Grayscale
from processors.operations.operation import Operation
from processors.operations.pad import Pad
from processors.operations.redact import Redact
from processors.operations.resize import Resize
from processors.operations.rotate import Rotate
from processors.operations.sharpen import Sharpen
from processors.operations.threshold import Threshold
from processors.operations.watermark import Watermark
from processors.operations.white_balance import WhiteBalance

AnyOperation = Annotated[
    # sizes
    Fit
    | Fill
    | Pad
    | Resize
    | Crop
    | Rotate
    | Flip
    # colours
    | Grayscale
    | Brightness
    | Contrast
    | Gamma
    | WhiteBalance
    | Clahe
    # detail
    | Blur
    | Sharpen
    | Denoise
    # analysis
    | Threshold
    | Canny
    # marks and redaction
    | Watermark
    | Redact
    | BlurFaces,
    Field(discriminator="op"),
]
"""Type of an operation in a preset; pydantic chooses the class by `op`."""

OPERATIONS: dict[str, type[Operation]] = {
    kind.model_fields["op"].default: kind for kind in get_args(get_args(AnyOperation)[0])
}
"""Operation classes by their `op` value, in the order of `AnyOperation`."""

__all__ = [
    "OPERATIONS",
    "AnyOperation",
    "Blur",
    "BlurFaces",
    "Brightness",
    "Canny",
    "Clahe",
    "Contrast",
    "Crop",
    "Denoise",
    "Fill",
    "Fit",
    "Flip",
    "Gamma",
    "Grayscale",
    "Operation",
    "Pad",
    "Redact",
    "Resize",
    "Rotate",
    "Sharpen",
    "Threshold",
    "Watermark",
    "WhiteBalance",
]
