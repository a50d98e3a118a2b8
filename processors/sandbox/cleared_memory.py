"""Clearing of allocated memory, so that a decoder finds no bytes of an earlier image.

With `glibc.malloc.perturb`, glibc fills every allocated block with zeros and every freed block with
ones. Three caches of freed blocks bypass this and are switched off in a child: glibc's per-thread
cache (`tcache`), Python's allocator (`pymalloc`) and NumPy's cache of arrays under 1 KB. The stack
and the global variables of libraries are not cleared; see docs/decisions/0012.
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
"""Environment variables that a process must be started with to get cleared memory."""

_RAW = 0  # PYMEM_DOMAIN_RAW
# Index of `PyDataMem_SetHandler` in NumPy's C API table, whose order is stable.
_SET_HANDLER = 304
_NAME, _VERSION = b"mem_handler", 1
_MARK = 0x5A
# Block sizes that glibc's and Python's caches hold, and larger sizes.
_TRIED_BYTES = (16, 64, 512, 1_000, 4_096, 100_000)
_TRIED_ARRAY_BYTES = 100


class _Allocator(ctypes.Structure):
    """C struct `PyMemAllocatorEx`; NumPy's struct differs only in an unused argument of `free`."""

    _fields_ = (
        ("context", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p),
        ("calloc", ctypes.c_void_p),
        ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    )


class _Handler(ctypes.Structure):
    """C struct `PyDataMem_Handler` of NumPy."""

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
    """Make NumPy allocate with the C library directly; does nothing outside of CPython."""
    if sys.implementation.name != "cpython":
        return
    for kept in (_handler, _NAME):
        # NumPy keeps the addresses of these objects, also while the interpreter frees this module.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    ctypes.pythonapi.PyMem_GetAllocator(_RAW, ctypes.byref(_handler.allocator))
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype = ctypes.py_object
    _set_handler()(capsule(ctypes.byref(_handler), _NAME, None))


def is_cleared() -> bool:
    """True if reallocated blocks are cleared; tests it with a few blocks, in microseconds."""
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
    content = ctypes.string_at(again, size)
    _libc.free(again)
    return content.count(0) == size


def _array_comes_back_clear() -> bool:
    array = np.full(_TRIED_ARRAY_BYTES, _MARK, np.uint8)
    del array
    return not np.empty(_TRIED_ARRAY_BYTES, np.uint8).any()
