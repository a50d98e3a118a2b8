"""Hours whose compacted copies may lack rows: a segment did not parse when they were made."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from lake import layout
from lake.errors import KeyMissing, Mismatch, UnreadableObject
from lake.seal.compacted import read_footer
from lake.store.bounded_gather import bounded_gather
from lake.store.decision import compare_and_swap
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.tables import IMAGE_TABLE, Table


async def lacking_hours(store: ObjectStore, table: Table = IMAGE_TABLE) -> Sequence[datetime]:
    """Starts of the hours whose copies name a segment that did not parse, or do not parse.

    A copy is read by views half an hour after it was made, at the earliest. So a view that is
    opened now reads no other copy that lacks rows. Raises StoreUnavailable.
    """
    hours: dict[Stored, datetime] = {}
    for stored in await store.objects(table.folders.compacted):
        first = layout.parse_compacted_key(stored.key)
        if first is not None:
            hours[stored] = layout.hour_of(first)
    lacks = await bounded_gather(partial(_lacks_rows, store), list(hours))
    return sorted({hour for hour, lack in zip(hours.values(), lacks, strict=True) if lack})


async def _lacks_rows(store: ObjectStore, copy: Stored) -> bool:
    async def step() -> bool:
        nonlocal copy
        try:
            footer = await read_footer(store, copy)
        except Mismatch:  # a compactor has rewritten it
            copy = await store.head(copy.key)
            raise
        except UnreadableObject:
            return True
        return bool(footer.unreadable or footer.kept)

    try:
        return await compare_and_swap(step, copy.key, again=(Mismatch,))
    except KeyMissing:  # the sweeper has deleted it
        return False
