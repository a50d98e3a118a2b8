"""Audit of a shadow lake: it holds no row of an image that was erased."""

import asyncio

import pyarrow as pa

from lake import layout
from lake.audit.object_reading import first_line, read_object
from lake.audit.snapshot import SnapshotWriter
from lake.errors import KeyMissing, UnreadableObject
from lake.store.object_store import ObjectStore
from lake.tables.rows import decode_chain_file
from lake.tables.tables import IMAGE_TABLE

_COLUMNS = ["tenant", "image_id", "attempt", "window_start"]


async def scan_shadow(store: ObjectStore, snapshot: SnapshotWriter) -> None:
    """Add the rows of a shadow lake to the snapshot; raises StoreUnavailable."""
    async for stored in store.walk(layout.rebuilt_rows(IMAGE_TABLE.name).chains):
        key = stored.key
        try:
            data, _ = await read_object(store, key)
            rows = await asyncio.to_thread(decode_chain_file, key, data, _COLUMNS)
        except KeyMissing:
            continue  # a cutover or the sweeper deleted it
        except UnreadableObject as error:
            snapshot.fault("unreadable", key, first_line(error))
            continue
        table = rows.select(_COLUMNS).replace_schema_metadata(None)
        names = pa.repeat(pa.scalar(key), len(rows))
        snapshot.add_table("shadow", table.append_column("file", names))
