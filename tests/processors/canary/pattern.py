"""Fill memory that a decoder is about to get with one byte: heap, caches and stack.

Memory that a decoder leaves unwritten then shows that byte, unless it was cleared in between.
"""

import ctypes
import platform

import numpy as np

_libc = ctypes.CDLL(None)
_libc.malloc.restype, _libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
_libc.free.restype, _libc.free.argtypes = None, [ctypes.c_void_p]

_MEGABYTE = 1 << 20
# Size and number of blocks: those that the caches of glibc, NumPy and Python give out first, a few
# of each size between, and large blocks, which glibc keeps once they are freed
# (`processors.malloc_tuning`).
_SMALL = [(size, 24) for size in range(16, 1100, 16)]
_BLOCKS = [(1 << power, 8) for power in range(11, 20)] + [(_MEGABYTE, 8), (16 * _MEGABYTE, 1)]
_ARRAYS, _ARRAY_BYTES = 2, range(1, 1024)
_OBJECTS, _OBJECT_BYTES = 100, range(1, 480, 16)
# Offset of the stack pointer in the structure that `getcontext` fills.
_STACK_POINTER_AT = {"x86_64": 160, "aarch64": 432}
_CONTEXT_BYTES = 8192
# Bytes below the stack pointer: past the frame of `memset` itself, and as far as decoders reach.
_STACK_LEAST, _STACK_MOST = 512, 512 * 1024


def fill(byte: int) -> None:
    """Allocate memory of all kinds, write `byte` over it, and free it."""
    _fill_heap(byte)
    _fill_arrays(byte)
    _fill_objects(byte)
    _fill_stack(byte)


def _fill_heap(byte: int) -> None:
    # Thousands of calls for each file: names of the module would double the time.
    malloc, memset, free = _libc.malloc, ctypes.memset, _libc.free
    taken = []
    for size, number in (*_SMALL, *_BLOCKS):
        blocks = [malloc(size) for _ in range(number)]
        for block in blocks:
            memset(block, byte, size)
        taken += blocks
    for block in taken:
        free(block)


def _fill_arrays(byte: int) -> None:
    for size in _ARRAY_BYTES:
        held = [np.empty(size, np.uint8) for _ in range(_ARRAYS)]
        for each in held:
            each.fill(byte)
        del held, each


def _fill_objects(byte: int) -> None:
    held = [bytes([byte]) * size for size in _OBJECT_BYTES for _ in range(_OBJECTS)]
    del held


def _fill_stack(byte: int) -> None:
    at = _STACK_POINTER_AT.get(platform.machine())
    if at is None:
        return
    context = ctypes.create_string_buffer(_CONTEXT_BYTES)
    _libc.getcontext(context)
    pointer = ctypes.c_size_t.from_buffer(context, at).value
    ctypes.memset(pointer - _STACK_MOST, byte, _STACK_MOST - _STACK_LEAST)
