"""Search for the files to send: named files, and files with image suffixes in folders."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixlake.cli.failures import UsageFault

# Suffixes of images. They include formats that the server may refuse, so that such a photograph is
# reported and not skipped.
_SUFFIXES = frozenset(
    {
        ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
        ".png", ".tif", ".tiff", ".webp",
    }
)  # fmt: skip

OTHER_NAME = "no_image_name"
HIDDEN = "hidden"
LINKED_FOLDER = "linked_folder"
DANGLING_LINK = "dangling_link"
NO_FILE = "no_file"
REASONS = {
    OTHER_NAME: "no image suffix",
    HIDDEN: "hidden",
    LINKED_FOLDER: "a link to a folder; --follow-links",
    DANGLING_LINK: "a link to a missing file",
    NO_FILE: "a device, a FIFO or a socket",
}
"""reasons to skip an entry of a folder, as text"""


@dataclass(slots=True)
class Found:
    """Files to send, each once, and counts of skipped entries."""

    files: list[Path] = field(default_factory=list)
    roots: dict[Path, Path] = field(default_factory=dict)
    """file to the named folder that contains it"""
    skipped: Counter[str] = field(default_factory=Counter)
    """counts by the keys of REASONS"""
    unreadable: list[str] = field(default_factory=list)
    linked: list[Path] = field(default_factory=list)
    """links to folders that were not followed"""


def find(
    paths: Sequence[Path], listed: Iterable[Path] = (), *, follow_links: bool = False
) -> Found:
    """Find the files: named files, and sorted files of folders, without hidden entries.

    `listed` are files from a list; they need not exist.

    Raises UsageFault if there are no files to send.
    """
    found = Found(files=list(listed))
    if not paths and not found.files:
        raise UsageFault("no files to send: give PATH, or --list FILE with lines")
    for path in paths:
        if path.is_dir():
            _search(path, found, follow_links=follow_links)
        else:
            found.files.append(path)
    found.files = list(dict.fromkeys(found.files))
    if not found.files:
        names = ", ".join(map(str, paths))
        reasons = [
            *found.unreadable,
            *(f"{REASONS[reason]}: {count}" for reason, count in found.skipped.items()),
        ]
        raise UsageFault(f"no image files in {names}" + "".join(f"; {why}" for why in reasons))
    return found


def _search(root: Path, found: Found, *, follow_links: bool) -> None:
    for file in _walk(root, found, follow_links=follow_links):
        if file.suffix.lower() in _SUFFIXES:
            found.files.append(file)
            found.roots.setdefault(file, root)
        else:
            found.skipped[OTHER_NAME] += 1


def _walk(root: Path, found: Found, *, follow_links: bool) -> Iterator[Path]:
    """Yield regular files below a folder; visits each folder once, so link loops end."""
    folders, seen = [root], set()
    while folders:
        folder = folders.pop()
        try:
            here = folder.stat()
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            found.unreadable.append(f"{folder}: {error.strerror}")
            continue
        if (here.st_dev, here.st_ino) in seen:
            continue
        seen.add((here.st_dev, here.st_ino))
        below = []
        for entry in listed:
            kind = _kind(entry, found, follow_links=follow_links)
            if kind == "folder":
                below.append(folder / entry.name)
            elif kind == "file":
                yield folder / entry.name
            elif kind is not None:
                found.skipped[kind] += 1
                if kind == LINKED_FOLDER:
                    found.linked.append(folder / entry.name)
        folders += reversed(below)


def _kind(entry: "os.DirEntry[str]", found: Found, *, follow_links: bool) -> str | None:
    """Classify an entry: `file`, `folder`, or a reason to skip it; None if it is unreadable."""
    if entry.name.startswith("."):
        return HIDDEN
    try:
        if entry.is_dir():
            return "folder" if follow_links or not entry.is_symlink() else LINKED_FOLDER
        if entry.is_file():
            return "file"
        entry.stat()
    except FileNotFoundError:
        return DANGLING_LINK
    except OSError as error:
        found.unreadable.append(f"{entry.path}: {error.strerror}")
        return None
    return NO_FILE


def read_file(file: Path) -> bytes:
    """Read a regular file; raises UsageFault."""
    from pixlake.client.errors import NotAFile  # noqa: PLC0415  # slow; not for --help
    from pixlake.client.files import open_regular  # noqa: PLC0415

    try:
        with open_regular(file) as opened:
            return opened.read()
    except (NotAFile, OSError) as error:
        raise UsageFault(f"{file} can't be read: {error}") from None
