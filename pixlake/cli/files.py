"""Which files a verb sends: those that are named, and what looks like an image in folders."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixlake.cli.failures import UsageFault

# Also formats that the server may refuse: better a clear refusal than silence about a photograph.
_SUFFIXES = frozenset(
    {
        ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
        ".png", ".tif", ".tiff", ".webp",
    }
)  # fmt: skip


@dataclass(slots=True)
class Found:
    """Files to send, each once; and what was left out of folders, as a count and as reasons."""

    files: list[Path] = field(default_factory=list)
    roots: dict[Path, Path] = field(default_factory=dict)
    """the named folder that each was found in"""
    skipped: int = 0
    unreadable: list[str] = field(default_factory=list)


def find(paths: Sequence[Path]) -> Found:
    """Named files as they are; folders walked down, sorted, hidden entries left out.

    Raises UsageFault when there is nothing to send.
    """
    found = Found()
    for path in paths:
        if path.is_dir():
            _search(path, found)
        else:
            found.files.append(path)
    found.files = list(dict.fromkeys(found.files))
    if not found.files:
        names = ", ".join(map(str, paths))
        raise UsageFault(f"no image files in {names}" + "".join(f"; {u}" for u in found.unreadable))
    return found


def _search(root: Path, found: Found) -> None:
    for file in _walk(root, found):
        if file.suffix.lower() in _SUFFIXES:
            found.files.append(file)
            found.roots.setdefault(file, root)
        else:
            found.skipped += 1


def _walk(root: Path, found: Found) -> Iterator[Path]:
    def note(error: OSError) -> None:
        found.unreadable.append(f"{error.filename}: {error.strerror}")

    for folder, folders, names in os.walk(root, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file():
                yield path
