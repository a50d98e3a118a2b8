"""Shortage of memory, threads, processes or open files: the machine's fault, which passes."""

import errno

_SHORT = frozenset(
    {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOSPC}
)
# CPython has no class of its own for it, nor has what obstore is built on.
_NO_THREAD = ("can't start new thread", "failed to spawn thread", "can't spawn worker thread")
# A chain of causes longer than this is a loop.
_MOST_CAUSES = 10


def is_shortage(error: BaseException) -> bool:
    """Whether an exception says that the machine was short of something, or was caused by one."""
    found: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if found is None:
            return False
        if _says_so(found):
            return True
        found = found.__cause__
    return False


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno in _SHORT
    return any(text in str(error) for text in _NO_THREAD)
