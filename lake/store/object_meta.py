"""Metadata of a stored object, as in a listing."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """Metadata of a stored object; `size` in bytes, `modified` by the store's clock."""

    key: str
    size: int
    etag: str
    modified: datetime
