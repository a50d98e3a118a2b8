"""Reader of unsealed rows of images in the journal."""

import pyarrow as pa

from lake import layout
from lake.commit.journal_objects import distinct
from lake.commit.journal_reading import read_journal
from lake.store.object_store import ObjectStore
from lake.tables.rows import without
from lake.tables.tables import IMAGE_TABLE


async def waiting_images(store: ObjectStore) -> pa.Table:
    """Read unsealed rows, each image once, without erased ones; raises StoreUnavailable."""
    tables = [IMAGE_TABLE.columns.empty_table()]
    for window_start in layout.windows_of(await store.folders(layout.JOURNAL)):
        listed = await store.objects(layout.journal_prefix(window_start))
        rows = distinct((await read_journal(store, listed)).rows())
        tables.append(without(rows.images, {each.image_id for each in rows.tombstones}))
    return pa.concat_tables(tables)
