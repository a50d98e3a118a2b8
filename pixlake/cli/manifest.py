"""A file of what a run has stored: a run that is started again leaves those files out.

A JSON object a line: path, size and time of change of a file, a hash of what was said of it and
to whom, the image and when it expires. Lines are written as images are answered, so a run that
was cut short has written all but the last ones.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TextIO

from pixlake.cli.failures import UsageFault
from pixlake.cli.results import Result

Key = tuple[str, int, int, str]
"""path, size in bytes, time of change in nanoseconds, hash of what is said"""


class Manifest:
    """The entries of a file, and the file to add to."""

    def __init__(self, file: TextIO, known: set[Key], said: Callable[[Path], str]) -> None:
        self._file = file
        self._known = known
        self._said = said
        self._keys: dict[Path, Key] = {}

    @classmethod
    def open(
        cls, path: Path, url: str, preset: str | None, said: Callable[[Path], Mapping[str, str]]
    ) -> Self:
        """Read the file, make it where there is none; raises UsageFault."""

        def hashed(file: Path) -> str:
            parts = json.dumps([url, preset, dict(said(file))], sort_keys=True)
            return hashlib.sha256(parts.encode("ascii")).hexdigest()

        try:
            file = path.open("a+", encoding="ascii", errors="replace")
            file.seek(0)
            text = file.read()
            if text and not text.endswith("\n"):
                file.write("\n")  # the last line of a run that was killed
        except OSError as error:
            raise UsageFault(f"--manifest {path} can't be used: {error.strerror}") from None
        known = {key for line in text.splitlines() if (key := _key(line)) is not None}
        return cls(file, known, hashed)

    def has(self, path: Path) -> bool:
        """Whether that file, as it is now, was stored, and its image has not expired."""
        try:
            stat = path.stat()
        except OSError:
            return False  # the upload says what is wrong with it
        key = (os.path.abspath(path), stat.st_size, stat.st_mtime_ns, self._said(path))  # noqa: PTH100  # resolve() follows links
        self._keys[path] = key
        return key in self._known

    def add(self, result: Result) -> None:
        """Write down that a file is stored; a result of another kind is none."""
        expires = result.facts.get("expires_at")
        key = self._keys.get(result.path)
        if expires is None or key is None:
            return
        path, size, changed, said = key
        entry = {"path": path, "size": size, "mtime_ns": changed, "said": said, **result.facts}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _key(line: str) -> Key | None:
    """The file of a line whose image is still there; None for a line that was cut, too."""
    try:
        entry = json.loads(line)
        if datetime.fromisoformat(entry["expires_at"]) <= datetime.now(UTC):
            return None
        return entry["path"], entry["size"], entry["mtime_ns"], entry["said"]
    except (ValueError, KeyError, TypeError):
        return None
