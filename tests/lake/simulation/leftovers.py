"""Check of what is left of an image: every object that holds its row, and its own objects."""

from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa

from lake import layout
from lake.commit.journal_objects import decode_journal
from lake.errors import UnreadableObject
from lake.store.folders import attempt_of
from lake.tables.rows import decode_chain_file
from lake.tables.schema import ImageRecord, Tombstone
from tests.lake.samples import image_id
from tests.lake.simulation.world import World

_FILES = (layout.LAKE_IMAGES, layout.IMAGE_ROWS.compacted, layout.rebuilt_rows("images").chains)


def rows_of(world: World, name: str) -> Iterator[str]:
    """Yield the key of each file that has an unexpired row of an image."""
    oldest = world.kept.oldest(world.bucket.now())
    for prefix in _FILES:
        for key, data, _ in world.below(prefix):
            if any(row == image_id(name) and start > oldest for row, start in _rows(key, data)):
                yield key


def waiting_rows_of(world: World, name: str) -> Iterator[str]:
    """Yield the key of each journal object that has an unexpired row of an image."""
    oldest = world.kept.oldest(world.bucket.now())
    for key, data, _ in world.below(layout.JOURNAL):
        try:
            rows = decode_journal(key, data).images
        except UnreadableObject:
            continue
        if any(row == image_id(name) and start > oldest for row, start in _pairs(rows)):
            yield key


def objects_of(world: World, name: str) -> Iterator[str]:
    """Yield the record of an image that is not erased, or the erased attempt's objects."""
    stored = world.record(image_id(name))
    if isinstance(stored, ImageRecord):
        yield layout.record_key(world.tenant(image_id(name)), image_id(name))
    for key, _, _ in world.below(layout.image_prefix(world.tenant(image_id(name)), image_id(name))):
        if isinstance(stored, Tombstone) and attempt_of(key) == stored.attempt:
            yield key


def _rows(key: str, data: bytes) -> list[tuple[str, datetime]]:
    try:
        return _pairs(decode_chain_file(key, data, ["image_id", "window_start"]))
    except UnreadableObject:
        return []


def _pairs(rows: pa.Table) -> list[tuple[str, datetime]]:
    ids, starts = (rows[name].to_pylist() for name in ("image_id", "window_start"))
    return list(zip(ids, starts, strict=True))
