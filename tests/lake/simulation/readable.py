"""Content of objects as the checks of a world see it: unreadable objects have none."""

from datetime import datetime

from lake.commit.journal_objects import decode_journal
from lake.commit.records import parse_record
from lake.errors import UnreadableObject
from lake.seal.watermark import parse_watermark
from lake.tables.schema import Named, Tombstone


def complete_before(key: str, data: bytes) -> datetime | None:
    """Watermark of readers; None if it does not parse."""
    try:
        return parse_watermark(key, data).complete_before
    except UnreadableObject:
        return None


def named(key: str, data: bytes) -> Named | None:
    """Object under the name of an image; None if it does not parse."""
    try:
        return parse_record(key, data)
    except UnreadableObject:
        return None


def tombstones(key: str, data: bytes) -> tuple[Tombstone, ...]:
    """Tombstones of a journal object."""
    try:
        return decode_journal(key, data).tombstones
    except UnreadableObject:
        return ()
