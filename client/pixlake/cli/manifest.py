"""Manifest of stored files, so that a repeated run skips them.

Each line is a JSON object: path, size and modification time of a file, a hash of its parameters
and of the server, the image and its expiry. A line is written when an image is stored, so after an
interrupted run only the last lines can be missing.
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
from pixlake.client.errors import NotAFile
from pixlake.client.files import open_regular

# Start of each line that `add` writes.
_BEGIN = '{"path": "'

Key = tuple[str, int, int, str]
"""path, size in bytes, modification time in nanoseconds, hash of parameters and server"""


class Manifest:
    """Entries of a manifest, and the open file to append to."""

    def __init__(self, file: TextIO, known: set[Key], said: Callable[[Path], str]) -> None:
        self._file = file
        self._known = known
        self._said = said
        self._keys: dict[Path, Key] = {}

    @classmethod
    def open(
        cls, path: Path, url: str, preset: str | None, said: Callable[[Path], Mapping[str, str]]
    ) -> Self:
        """Read a manifest, or create a new one; raises UsageFault."""

        def hashed(file: Path) -> str:
            parts = json.dumps([url, preset, dict(said(file))], sort_keys=True)
            return hashlib.sha256(parts.encode("ascii")).hexdigest()

        try:
            text = _read(path)
            file = path.open("a", encoding="ascii")
            if text and not text.endswith("\n"):
                file.write("\n")  # end the last line of a run that was killed
        except OSError as error:
            raise UsageFault(f"--manifest {path} can't be used: {error.strerror}") from None
        except NotAFile as error:
            raise UsageFault(f"--manifest {error}") from None
        known = {key for line in text.splitlines() if (key := _key(line)) is not None}
        return cls(file, known, hashed)

    def has(self, path: Path) -> bool:
        """True if the unchanged file was stored and its image has not expired."""
        try:
            stat = path.stat()
        except OSError:
            return False  # the upload of the file reports the error
        key = (os.path.abspath(path), stat.st_size, stat.st_mtime_ns, self._said(path))  # noqa: PTH100  # resolve() follows links
        self._keys[path] = key
        return key in self._known

    def add(self, result: Result) -> None:
        """Write an entry for a stored file; ignores other results."""
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


def _read(path: Path) -> str:
    """Return the text of a manifest; empty for a new manifest.

    Raises UsageFault for a file that is not a manifest, because lines at the end of a photo would
    damage the photo. Raises NotAFile, OSError.
    """
    if not path.exists():
        return ""
    with open_regular(path) as file:
        text = file.read().decode("ascii", "replace")
    # A run that was killed may have written a part of its first line.
    if not (text.startswith(_BEGIN) or _BEGIN.startswith(text)):
        raise UsageFault(
            f"--manifest {path} is not a manifest and was not changed; name a new file, or a file "
            "that an earlier run wrote"
        )
    return text


def _key(line: str) -> Key | None:
    """Parse a line; None if its image has expired or the line is incomplete."""
    try:
        entry = json.loads(line)
        if datetime.fromisoformat(entry["expires_at"]) <= datetime.now(UTC):
            return None
        return entry["path"], entry["size"], entry["mtime_ns"], entry["said"]
    except (ValueError, KeyError, TypeError):
        return None
