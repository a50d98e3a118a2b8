"""Result of a sweep."""

from dataclasses import dataclass


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
