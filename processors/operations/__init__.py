"""Registry of the operations that a preset may name; each operation has its own file."""

from typing import Annotated

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

OPERATIONS: dict[str, type[Operation]] = {
    # sizes
    "fit": Fit,
    "fill": Fill,
    "pad": Pad,
    "resize": Resize,
    "crop": Crop,
    "rotate": Rotate,
    "flip": Flip,
    # colours
    "grayscale": Grayscale,
    "brightness": Brightness,
    "contrast": Contrast,
    "gamma": Gamma,
    "white_balance": WhiteBalance,
    "clahe": Clahe,
    # detail
    "blur": Blur,
    "sharpen": Sharpen,
    "denoise": Denoise,
    # analysis
    "threshold": Threshold,
    "canny": Canny,
    # marks and redaction
    "watermark": Watermark,
    "redact": Redact,
    "blur_faces": BlurFaces,
}
"""Operation classes by their `op` value."""

AnyOperation = Annotated[
    Fit
    | Fill
    | Pad
    | Resize
    | Crop
    | Rotate
    | Flip
    | Grayscale
    | Brightness
    | Contrast
    | Gamma
    | WhiteBalance
    | Clahe
    | Blur
    | Sharpen
    | Denoise
    | Threshold
    | Canny
    | Watermark
    | Redact
    | BlurFaces,
    Field(discriminator="op"),
]
"""Type of an operation in a preset; pydantic chooses the class by `op`."""

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
