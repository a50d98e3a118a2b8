"""Reader of paths and their metadata from lines of JSON: `{"path": "a.jpg", "metadata": {…}}`."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from pixlake.cli.failures import UsageFault, near
from pixlake.cli.options import metadata_of

_STDIN = Path("-")
_MEMBERS = ("path", "metadata")


def read_list(source: Path) -> dict[Path, Mapping[str, str]]:
    """Return the metadata of each file of a list; `-` is standard input. Raises UsageFault."""
    found: dict[Path, Mapping[str, str]] = {}
    for number, line in enumerate(_lines(source), 1):
        if not line.strip():
            continue
        try:
            path, metadata = _entry(line)
        except (ValueError, TypeError) as error:
            raise UsageFault(f"--list {source}, line {number}: {error}") from None
        if path in found:
            raise UsageFault(f"--list {source}, line {number}: {path} is repeated")
        found[path] = metadata
    return found


def _lines(source: Path) -> Iterator[str]:
    if source == _STDIN:
        yield from sys.stdin
        return
    try:
        with source.open(encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"--list {source} can't be read: {error}") from None


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Hook for json.loads that raises ValueError for repeated names."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a member is repeated")
    return found


def _entry(line: str) -> tuple[Path, Mapping[str, str]]:
    """Parse a line into path and metadata; raises ValueError, TypeError, UsageFault."""
    entry = json.loads(line, object_pairs_hook=_once_each)
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        raise TypeError("the line is not a JSON object with a path")
    for name in entry:
        if name not in _MEMBERS:
            raise ValueError(f"there is no member {name!r}{near(name, _MEMBERS)}")
    metadata = entry.get("metadata", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise TypeError("metadata must be a JSON object whose values are strings")
    return Path(entry["path"]), metadata_of([f"{name}={value}" for name, value in metadata.items()])
