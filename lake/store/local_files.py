"""Fast reading, listing and deletion of many files in a store that is a local folder.

obstore needs twice the CPU time for listing, and four times for reading.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lake.store.object_meta import Stored

# Partial files: obstore writes `name#1` and renames it. Its listings skip them, as this one does.
_STAGED = re.compile(r"#\d+$")
_READ_BYTES = 2**16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_files(root: Path, keys: Sequence[str]) -> list[bytes | None]:
    """Read many small files, in order; None for a missing file. Raises OSError."""
    return [_read(f"{root}/{key}") for key in keys]


def delete_files(root: Path, keys: Sequence[str]) -> None:
    """Delete many files, and folders that become empty; raises OSError."""
    folders = set()
    for key in keys:
        with suppress(FileNotFoundError):
            os.unlink(f"{root}/{key}")  # noqa: PTH108  # half the time of Path.unlink
        folders.add(os.path.dirname(key))  # noqa: PTH120
    for folder in folders:
        _remove_empty(root, folder)


def walk_files(root: Path, prefix: str) -> Iterator[list[Stored]]:
    """Yield all files below a folder of `root`, folder by folder; raises OSError."""
    folders = [prefix.strip("/")]
    while folders:
        folder = folders.pop()
        files, below = _listed(root, folder)
        folders += below
        if files:
            yield files


def next_page(folders: Iterator[list[Stored]], size: int) -> list[Stored]:
    """Take the files of the next folders, at least `size` of them; empty at the end."""
    page: list[Stored] = []
    while len(page) < size and (folder := next(folders, None)):
        page += folder
    return page


def etag_of(stat: os.stat_result) -> str:
    """ETag of a file, as obstore computes it."""
    return f'"{stat.st_ino:x}-{stat.st_mtime_ns // 1000:x}-{stat.st_size:x}"'


def _listed(root: Path, folder: str) -> tuple[list[Stored], list[str]]:
    """List files and folders in one folder, except those deleted during the listing."""
    files: list[Stored] = []
    below: list[str] = []
    with suppress(FileNotFoundError), os.scandir(f"{root}/{folder}") as entries:
        for entry in entries:
            key = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir():
                below.append(key)
            elif not _STAGED.search(key):
                with suppress(FileNotFoundError):
                    files.append(_stored(key, entry.stat()))
    return files, below


def _remove_empty(root: Path, folder: str) -> None:
    """Delete a folder and its parents while they are empty, as obstore does.

    A writer creates the folder again if it is deleted before the PUT.
    """
    with suppress(OSError):  # the folder is not empty, or was deleted
        while folder:
            (root / folder).rmdir()
            folder = folder.rpartition("/")[0]


def _stored(key: str, stat: os.stat_result) -> Stored:
    """Metadata of a file, as obstore returns it."""
    modified = _EPOCH + timedelta(microseconds=stat.st_mtime_ns // 1000)
    return Stored(key, stat.st_size, etag_of(stat), modified)


def _read(path: str) -> bytes | None:
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        parts = [os.read(file, _READ_BYTES)]
        while len(parts[-1]) == _READ_BYTES:
            parts.append(os.read(file, _READ_BYTES))
        return b"".join(parts)
    finally:
        os.close(file)
