"""Requests of images, by which a commit and a look-up recognise a repetition."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from lake.store.machine_clock import Moment
from lake.tables.schema import ImageRecord


@dataclass(frozen=True, slots=True)
class Request:
    """Request of an image: bytes, preset as it was named, metadata. Its repetition is a replay.

    The preset that the name stands for is not part of it: it may change between two repetitions.
    `content_hash` is that of a record which this request would make, None if it is unknown.
    """

    sha256: str
    preset: str
    metadata: Mapping[str, str]
    content_hash: str | None = field(default=None, compare=False)

    @classmethod
    def of(cls, record: ImageRecord) -> Self | None:
        """Request of a record; None if a version before `requested_preset` wrote the record."""
        if record.requested_preset is None:
            return None
        return cls(record.sha256, record.requested_preset, record.metadata)

    def made(self, record: ImageRecord) -> bool:
        """True if the record is of this request, or has the content that it would have."""
        return record.content_hash == self.content_hash or Request.of(record) == self


@dataclass(frozen=True, slots=True)
class LookUp:
    """Record of an image when it was read; None: no image has the name."""

    record: ImageRecord | None
    at: Moment
