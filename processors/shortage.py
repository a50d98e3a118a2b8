"""Shortage of memory, which OpenCV tells as one of its own errors."""

import cv2

_OUT_OF_MEMORY = -4  # cv::Error::StsNoMem


def memory_or(error: cv2.error, otherwise: Exception) -> Exception:
    """MemoryError if that is what OpenCV means by its error."""
    # A C++ bad_alloc comes as the same class without a code.
    starved = getattr(error, "code", None) == _OUT_OF_MEMORY or "bad_alloc" in str(error)
    return MemoryError(str(error)) if starved else otherwise
