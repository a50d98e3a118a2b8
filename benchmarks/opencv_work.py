"""Pixlake's OpenCV work on a photograph, without byte checks, header parser and sandbox.

Decodes, measures, fits to 320 pixels and encodes with the calls of the pipeline. OpenCV and the
memory allocator are set up as in a sandboxed child, so that only Pixlake's own cost differs.
"""

import cv2
import numpy as np

from processors.codecs.codec import encode
from processors.image import Image
from processors.job import Measures
from processors.measures.measures import measure
from processors.operations import Fit
from processors.pipeline import process
from processors.preset import THUMBNAIL
from processors.settings import Limits

_FIT = Fit(width=320)
_QUALITY = THUMBNAIL.renditions[0].quality
# Strongest reduction first; `flags_for` finds the pipeline's choice by trying all.
_FLAGS = (
    cv2.IMREAD_REDUCED_COLOR_8,
    cv2.IMREAD_REDUCED_COLOR_4,
    cv2.IMREAD_REDUCED_COLOR_2,
    cv2.IMREAD_COLOR,
)


def work(data: bytes, flags: int) -> tuple[Measures, bytes]:
    """Compute measures and rendition of an upright RGB photograph without a profile."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    assert decoded is not None
    image = Image(decoded.astype(np.uint8, copy=False))
    return measure(image), encode(_FIT(image), "jpeg", _QUALITY)


def flags_for(data: bytes) -> int:
    """Find the decoding flags with which `work` has the same result as the pipeline, to the byte.

    Raises RuntimeError if there are none, because a comparison needs the same work on both sides.
    """
    wanted = process(data, THUMBNAIL, Limits())
    for flags in _FLAGS:
        if work(data, flags) == (wanted.measures, wanted.renditions[0].data):
            return flags
    raise RuntimeError("benchmarks.opencv_work and processors.pipeline have different results")
