"""Recognition of temporary shortages of the machine: memory, threads, processes, open files."""

import errno

_SHORT = frozenset(
    {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOSPC}
)
# Messages of CPython and of obstore's runtime for a thread that can't be started.
_NO_THREAD = ("can't start new thread", "failed to spawn thread", "can't spawn worker thread")
# Largest number of causes that are followed, in case the chain is a loop.
_MOST_CAUSES = 10


def is_shortage(error: BaseException) -> bool:
    """True if an exception, or one of its causes, means a shortage of the machine."""
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None:
            return False
        if _says_so(cause):
            return True
        cause = cause.__cause__
    return False


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno in _SHORT
    return any(text in str(error) for text in _NO_THREAD)
