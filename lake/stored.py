"""What a store knows of an object without reading it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store knows of an object; `size` in bytes, `modified` by the store's clock."""

    key: str
    size: int
    etag: str
    modified: datetime
