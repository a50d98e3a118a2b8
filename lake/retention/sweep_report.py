"""Result of a sweep."""

from dataclasses import dataclass

from lake.errors import Unavailable
from lake.logs import logger

log = logger(__name__)


@dataclass(slots=True)
class SweepReport:
    """Number of deleted objects by kind; `failed`: objects and folders that failed."""

    images: int = 0
    image_objects: int = 0
    orphans: int = 0
    journal: int = 0
    lake: int = 0
    rejections: int = 0
    leftovers: int = 0
    failed: int = 0

    def not_swept(self, folder: str, error: Unavailable) -> None:
        """Log and count a folder that can't be listed; it keeps no other."""
        self.failed += 1
        log.warning("folder not swept", folder=folder, error=error)
