"""Face detection with the model YuNet and OpenCV's `FaceDetectorYN`.

Wu et al., "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 20, 2023.
The folder `models` holds the model, its licence and its source. The model finds faces; it does not
recognise persons.
"""

from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import cv2
import numpy as np

from processors.image import Image, within

COUNTED_SIDE = 640
"""Longer side of the copy that is searched, in pixels; faces of 10 to 300 pixels are found."""

MAX_FACES = 1000
"""Largest number of faces that are counted."""

_MODEL = "face_detection_yunet_2023mar.onnx"
# Lowest score of a face: all faces in the test photographs score 0.82 or more, and a cat 0.66.
_LEAST_SCORE = 0.7
_OVERLAP = 0.3
_LEAST_SIDE = 10
_ANY_SIZE = (320, 320)


class Face(NamedTuple):
    """Box around a face, in whole pixels, clipped to the image."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """Area of the box, in pixels."""
        return self.width * self.height


def find_faces(image: Image, side: int = COUNTED_SIDE) -> tuple[Face, ...]:
    """Find faces that are upright, or a little turned or tilted; the largest first.

    The search uses a copy whose longer side is at most `side` pixels. Raises cv2.error.
    """
    width, height = within(image, side)
    if min(width, height) < _LEAST_SIDE:
        return ()
    seen = np.ascontiguousarray(image.in_8_bits().resized(width, height).on_white().pixels)
    detector = _detector()
    detector.setInputSize((width, height))
    _, detected = detector.detect(seen)
    if detected is None:
        return ()
    scale = np.array([image.width / width, image.height / height])
    upper = np.floor(detected[:, :2] * scale).astype(int)
    lower = np.ceil((detected[:, :2] + detected[:, 2:4]) * scale).astype(int)
    corners = np.clip(np.hstack([upper, lower]), 0, [image.width, image.height] * 2).tolist()
    faces = (Face(left, top, right - left, bottom - top) for left, top, right, bottom in corners)
    return tuple(sorted((face for face in faces if face.area), key=lambda face: -face.area))


@lru_cache(maxsize=1)
def _detector() -> cv2.FaceDetectorYN:
    """Load the detector; the warm-up calls this, because a child can open no file."""
    model = np.frombuffer((files("processors") / "models" / _MODEL).read_bytes(), np.uint8)
    level = cv2.utils.logging.getLogLevel()
    # OpenCV's new engine warns that it supports only one target (the CPU), which is the one used.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        return cv2.FaceDetectorYN.create(
            "onnx", model, np.empty(0, np.uint8), _ANY_SIZE, _LEAST_SCORE, _OVERLAP, MAX_FACES
        )
    finally:
        cv2.utils.logging.setLogLevel(level)
