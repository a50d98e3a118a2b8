"""Memory that a decoder gets holds nothing of an image before: the C library clears it.

glibc fills every block that it hands out with zeros and every block that it takes back with ones,
where `glibc.malloc.perturb` asks for it. Three stores of freed blocks go round that, and are out of
use in a child: glibc's own per thread (`tcache`), Python's (`pymalloc`) and NumPy's of arrays under
1 KB. Nothing clears the stack and variables of libraries; see docs/decisions/0012.
"""

import ctypes
import sys
from collections.abc import Callable
from importlib import import_module

import numpy as np

ENVIRONMENT = {
    "GLIBC_TUNABLES": "glibc.malloc.perturb=255:glibc.malloc.tcache_count=0",
    "PYTHONMALLOC": "malloc",
}
"""Variables that a process must be started with to get cleared memory."""

_RAW = 0  # PYMEM_DOMAIN_RAW
# Of NumPy's C interface, whose order is kept: `PyDataMem_SetHandler`.
_SET_HANDLER = 304
_NAME, _VERSION = b"mem_handler", 1
_MARK = 0x5A
# Blocks of the sizes that glibc's and Python's stores hold, and larger ones.
_TRIED_BYTES = (16, 64, 512, 1_000, 4_096, 100_000)
_TRIED_ARRAY_BYTES = 100


class _Allocator(ctypes.Structure):
    """`PyMemAllocatorEx`; NumPy's differs in an argument more of `free`, which nobody reads."""

    _fields_ = (
        ("context", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p),
        ("calloc", ctypes.c_void_p),
        ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    )


class _Handler(ctypes.Structure):
    """NumPy's `PyDataMem_Handler`."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("allocator", _Allocator),
    )


_libc = ctypes.CDLL(None)
_libc.malloc.restype, _libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
_libc.free.restype, _libc.free.argtypes = None, [ctypes.c_void_p]
_handler = _Handler(name=b"pixlake_raw", version=_VERSION)


def clear_memory() -> None:
    """Let NumPy use the C library's memory; does nothing outside of CPython."""
    if sys.implementation.name != "cpython":
        return
    for kept in (_handler, _NAME):
        # NumPy keeps their addresses, also while the interpreter ends and forgets this module.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    ctypes.pythonapi.PyMem_GetAllocator(_RAW, ctypes.byref(_handler.allocator))
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype = ctypes.py_object
    _set_handler()(capsule(ctypes.byref(_handler), _NAME, None))


def is_cleared() -> bool:
    """Whether freed blocks come back without what they held; tries it, in microseconds."""
    return all(_comes_back_clear(size) for size in _TRIED_BYTES) and _array_comes_back_clear()


def _set_handler() -> Callable[[object], object]:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    interface = vars(import_module("numpy._core._multiarray_umath"))["_ARRAY_API"]
    table = ctypes.cast(pointer(interface, None), ctypes.POINTER(ctypes.c_void_p))
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER] or 0)


def _comes_back_clear(size: int) -> bool:
    block = _libc.malloc(size)
    ctypes.memset(block, _MARK, size)
    _libc.free(block)
    again = _libc.malloc(size)
    found = ctypes.string_at(again, size)
    _libc.free(again)
    return found.count(0) == size


def _array_comes_back_clear() -> bool:
    array = np.full(_TRIED_ARRAY_BYTES, _MARK, np.uint8)
    del array
    return not np.empty(_TRIED_ARRAY_BYTES, np.uint8).any()
