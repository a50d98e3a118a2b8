"""What Pixlake does to a photograph, with nothing around it: no gate, no header parser, no sandbox.

decode, measure, fit to 320 pixels, encode; by the calls that the pipeline makes, with OpenCV and
the memory allocator set up as in a sandboxed child, so that the difference is Pixlake's own.
"""

import cv2
import numpy as np

from processors.codec import encode
from processors.image import Image
from processors.job import Measures
from processors.measures import measure
from processors.operations import Fit
from processors.pipeline import process
from processors.preset import THUMBNAIL
from processors.settings import Limits

_FIT = Fit(width=320)
_QUALITY = THUMBNAIL.renditions[0].quality
# Strongest first: what the pipeline chooses is found by trying, see `flags_for`.
_FLAGS = (
    cv2.IMREAD_REDUCED_COLOR_8,
    cv2.IMREAD_REDUCED_COLOR_4,
    cv2.IMREAD_REDUCED_COLOR_2,
    cv2.IMREAD_COLOR,
)


def work(data: bytes, flags: int) -> tuple[Measures, bytes]:
    """Measures and the rendition of an RGB photograph without a profile, upright."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    assert decoded is not None
    image = Image(decoded.astype(np.uint8, copy=False))
    return measure(image), encode(_FIT(image), "jpeg", _QUALITY)


def flags_for(data: bytes) -> int:
    """How OpenCV must decode for `work` to give what the pipeline gives, to the byte.

    Raises RuntimeError if no way does: then the two would not be compared at the same work.
    """
    wanted = process(data, THUMBNAIL, Limits())
    for flags in _FLAGS:
        if work(data, flags) == (wanted.measures, wanted.renditions[0].data):
            return flags
    raise RuntimeError("benchmarks.opencv_work does not do what processors.pipeline does")
