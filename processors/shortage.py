"""Recognition of OpenCV errors that mean a shortage of memory."""

import cv2

_OUT_OF_MEMORY = -4  # cv::Error::StsNoMem


def memory_or(error: cv2.error, otherwise: Exception) -> Exception:
    """MemoryError if the OpenCV error means that memory is short, else `otherwise`."""
    # A C++ bad_alloc becomes the same class without a code.
    starved = getattr(error, "code", None) == _OUT_OF_MEMORY or "bad_alloc" in str(error)
    return MemoryError(str(error)) if starved else otherwise
