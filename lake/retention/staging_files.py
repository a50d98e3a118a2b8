"""Partial files of a folder store that killed processes have left (`name#1`)."""

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

_STAGING = re.compile(r".+#\d+")


def unlink_staging(root: Path, before: datetime, *, dry_run: bool) -> int:
    """Delete partial files of killed processes, which obstore does not list."""
    count = 0
    for path in _staging_files(root):
        try:
            if path.stat().st_mtime <= before.timestamp():
                if not dry_run:
                    path.unlink()
                count += 1
        except FileNotFoundError:
            continue  # the writer finished it, or another sweeper deleted it
    return count


def _staging_files(root: Path) -> Iterator[Path]:
    # `os.walk` continues if a folder disappears during the walk, `rglob` does not.
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names if _STAGING.fullmatch(name))
