"""Reading and writing of regular files; devices, FIFOs and sockets are refused."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pixlake.client.errors import NotAFile

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; raises NotAFile, OSError."""
    # Without O_NONBLOCK, opening a FIFO blocks until it has a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        check_regular(path, os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def check_regular(path: Path, mode: int) -> None:
    """Raise NotAFile if `mode` is not the mode of a regular file."""
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
        raise NotAFile(f"{path} is {kind}, not a file")


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Context manager that writes `path` atomically; a link's target is replaced.

    Raises NotAFile, OSError.
    """
    target = path.resolve()
    if target.exists():
        check_regular(path, target.stat().st_mode)
    part = target.with_name(f".{target.name[:200]}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
