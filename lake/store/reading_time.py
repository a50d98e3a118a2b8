"""Time of the store for readers, which may have no right to write to it.

Writers read the time of a new object (`lake/store/clock.py`). Here a bucket's server tells it with
each response. A folder tells it as the time of a new file without a name. In a folder that can't
be written, and for a bucket whose server tells no time, the clock of this machine counts.
"""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lake import layout
from lake.settings import LakeSettings
from lake.store.bucket import server_time


def store_time(settings: LakeSettings) -> datetime:
    """Read the time of the store; raises StoreUnavailable."""
    url = urlsplit(settings.location)
    told = None
    if url.scheme == "s3":
        told = server_time(settings)
    elif url.scheme == "file":
        told = _folder_time(Path(unquote(url.path)))
    return told or datetime.now(UTC)


def _folder_time(folder: Path) -> datetime | None:
    try:
        with tempfile.TemporaryFile(dir=folder / layout.PROBE) as file:
            return datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    except OSError:
        return None
