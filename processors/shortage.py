"""Recognition of shortages of memory: OpenCV's errors, and a test of what can be allocated."""

import mmap

import cv2

_OUT_OF_MEMORY = -4  # cv::Error::StsNoMem


def memory_or(error: cv2.error, otherwise: Exception) -> Exception:
    """MemoryError if the OpenCV error means that memory is short, else `otherwise`."""
    # A C++ bad_alloc becomes the same class without a code.
    starved = getattr(error, "code", None) == _OUT_OF_MEMORY or "bad_alloc" in str(error)
    return MemoryError(str(error)) if starved else otherwise


def is_short_of(size: int) -> bool:
    """True if this process cannot allocate `size` bytes now; touches none of these bytes."""
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        return True
    return False
