"""Reader of unsealed rows of images in the journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from lake import layout
from lake.commit.journal_objects import distinct
from lake.commit.journal_reading import read_journal
from lake.errors import UnreadableObject
from lake.seal.segments import chain_keys, read_rows
from lake.store.object_store import ObjectStore
from lake.tables.rows import erased_ids, without
from lake.tables.tables import IMAGE_TABLE


@dataclass(frozen=True, slots=True)
class WaitingImages:
    """Unsealed rows, each image once.

    `unreadable`: journal objects whose rows are unknown, and windows with a segment whose erased
    ids are unknown.
    """

    rows: pa.Table
    unreadable: Mapping[str, UnreadableObject]


async def waiting_images(store: ObjectStore) -> WaitingImages:
    """Read unsealed rows without erased ones; raises StoreUnavailable.

    Where a segment does not parse or is lost, rows that a late replay journaled may be of erased
    images.
    """
    tables = [IMAGE_TABLE.columns.empty_table()]
    unreadable: dict[str, UnreadableObject] = {}
    for window_start in layout.windows_of(await store.folders(layout.JOURNAL)):
        listed = await store.objects(layout.journal_prefix(window_start))
        decoded = await read_journal(store, listed)
        unreadable |= decoded.unreadable
        rows = distinct(decoded.rows())
        images = without(rows.images, {each.image_id for each in rows.tombstones})
        if images.num_rows:
            try:
                images = without(images, await _erased(store, window_start))
            except UnreadableObject as error:
                unreadable[f"window {layout.window_name(window_start)}"] = error
        tables.append(images)
    return WaitingImages(pa.concat_tables(tables), unreadable)


async def _erased(store: ObjectStore, window_start: datetime) -> set[str]:
    """Read the ids that the footers of a window name as erased; late replays journal such rows."""
    erased: set[str] = set()
    for key in await chain_keys(store, window_start):
        erased |= erased_ids(key, await read_rows(store, key))
    return erased
