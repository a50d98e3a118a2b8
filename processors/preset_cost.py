"""Price of a preset for one image, in seconds of a core, known before the image is decoded.

Prices are fixed numbers a megapixel, so that the same upload has the same answer on every machine.
Measured on one core with noise and alpha, which take longest; photographs take less.
"""

from processors.codecs.codec import OutputFormat
from processors.codecs.header import Header
from processors.errors import TooMuchWork
from processors.operations.operation import MEGAPIXEL
from processors.preset import Preset, RenditionSpec
from processors.settings import Limits

# Milliseconds a megapixel of each encoder: without alpha, with alpha.
_ENCODERS: dict[OutputFormat, tuple[float, float]] = {
    "jpeg": (15, 30),
    "png": (100, 120),
    "webp": (150, 300),
    # An image of 30 megapixels is the largest whose encoder fits the memory of a child.
    "avif": (330, 400),
}


def check_work(header: Header, preset: Preset, limits: Limits) -> None:
    """Raise TooMuchWork if all renditions of the image together cost more than the limit."""
    price = sum(_price(spec, header) for spec in preset.renditions) / 1000
    if price > limits.max_work_seconds:
        raise TooMuchWork(
            f"the renditions of {header.width} x {header.height} pixels are priced at "
            f"{price:.1f} s of a core, the limit is {limits.max_work_seconds:g}",
            limit=limits.max_work_seconds,
            value=round(price, 1),
        )


def _price(spec: RenditionSpec, header: Header) -> float:
    """Milliseconds of one rendition: its operations, then its encoder."""
    width, height = header.displayed
    milliseconds = 0.0
    for operation in spec.operations:
        milliseconds += operation.price(width, height)
        width, height = operation.size_after(width, height)
    output = spec.output(has_alpha=header.has_alpha)
    return milliseconds + _ENCODERS[output][header.has_alpha] * width * height / MEGAPIXEL
