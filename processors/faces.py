"""Faces: where they are in an image, by YuNet and OpenCV's `FaceDetectorYN`.

Wu et al., "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 20, 2023.
The model, its licence and where it is from lie in `models`. It says where faces are, never whose.
"""

from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import cv2
import numpy as np

from processors.image import Image, within

COUNTED_SIDE = 640
"""longer side of the copy that is searched, in pixels; faces of 10 to 300 pixels are found"""

MAX_FACES = 1000
"""largest number of faces that are counted"""

_MODEL = "face_detection_yunet_2023mar.onnx"
# Between the faces of our photographs (0.82 and more) and the cat that is not one (0.66).
_LEAST_SCORE = 0.7
_OVERLAP = 0.3
_LEAST_SIDE = 10
_ANY_SIZE = (320, 320)


class Face(NamedTuple):
    """A box around a face, in whole pixels, none of it outside of the image."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """In pixels."""
        return self.width * self.height


def find_faces(image: Image, side: int = COUNTED_SIDE) -> tuple[Face, ...]:
    """The faces of an image when it is seen at a longer side of at most `side`, largest first.

    Upright ones, and those turned or tilted a little. Raises cv2.error.
    """
    width, height = within(image, side)
    if min(width, height) < _LEAST_SIDE:
        return ()
    seen = np.ascontiguousarray(image.in_8_bits().resized(width, height).on_white().pixels)
    detector = _detector()
    detector.setInputSize((width, height))
    _, found = detector.detect(seen)
    if found is None:
        return ()
    scale = np.array([image.width / width, image.height / height])
    upper = np.floor(found[:, :2] * scale).astype(int)
    lower = np.ceil((found[:, :2] + found[:, 2:4]) * scale).astype(int)
    corners = np.clip(np.hstack([upper, lower]), 0, [image.width, image.height] * 2).tolist()
    faces = (Face(left, top, right - left, bottom - top) for left, top, right, bottom in corners)
    return tuple(sorted((face for face in faces if face.area), key=lambda face: -face.area))


@lru_cache(maxsize=1)
def _detector() -> cv2.FaceDetectorYN:
    """Made in the warm-up: a child can open no file."""
    model = np.frombuffer((files("processors") / "models" / _MODEL).read_bytes(), np.uint8)
    level = cv2.utils.logging.getLogLevel()
    # Its new engine warns that it knows one target only, which is the one that we want.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        return cv2.FaceDetectorYN.create(
            "onnx", model, np.empty(0, np.uint8), _ANY_SIZE, _LEAST_SCORE, _OVERLAP, MAX_FACES
        )
    finally:
        cv2.utils.logging.setLogLevel(level)
