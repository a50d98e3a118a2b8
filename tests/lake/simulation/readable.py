"""Content of objects as the checks of a world see it: unreadable objects have none."""

from datetime import datetime

from lake.commit.journal_objects import decode_journal
from lake.commit.records import parse_record
from lake.errors import UnreadableObject
from lake.seal.watermark import parse_watermark
from lake.tables.rows import decode_chain_file, erased_ids
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


def ids_of_segment(key: str, data: bytes) -> tuple[list[str], frozenset[str]]:
    """Ids of the rows of a segment, and the erased ids in its footer."""
    try:
        table = decode_chain_file(key, data, ["image_id"])
        return table["image_id"].to_pylist(), erased_ids(key, table)
    except UnreadableObject:
        return [], frozenset()


def rows_of_copy(key: str, data: bytes) -> list[tuple[str, datetime]]:
    """Image id and window of each row of a compacted file."""
    try:
        table = decode_chain_file(key, data, ["image_id", "window_start"])
    except UnreadableObject:
        return []
    ids, windows = (table[name].to_pylist() for name in ("image_id", "window_start"))
    return list(zip(ids, windows, strict=True))
