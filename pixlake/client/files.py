"""Regular files only: a device, a FIFO or a socket is named, never waited for, never replaced."""

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
    """The file, for reading; raises NotAFile, OSError."""
    # Without O_NONBLOCK the opening of a FIFO waits for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        check_regular(path, os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def check_regular(path: Path, mode: int) -> None:
    """Raise NotAFile for what is no regular file."""
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise NotAFile(f"{path} is {kind}, not a file")


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A new file in place of `path`, whole or not at all; a link stays, and its target is replaced.

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
