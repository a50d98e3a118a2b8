"""Listing of the hours in which a table has files or unsealed rows."""

from collections import defaultdict
from datetime import datetime

from lake import layout
from lake.store.object_store import ObjectStore
from lake.tables.tables import Table


async def hours_with_files(store: ObjectStore, table: Table) -> list[datetime]:
    """List the hours with a segment or a compacted file, in order."""
    hours: set[datetime] = set()
    for root in (table.folders.chains, table.folders.compacted):
        for day in await store.folders(root):
            for name in await store.folders(f"{root}/{day}"):
                hour = layout.parse_partition(f"{day}/{name}")
                if hour is not None:
                    hours.add(hour)
    return sorted(hours)


async def unsealed_windows(store: ObjectStore, table: Table) -> dict[datetime, set[datetime]]:
    """List by hour the windows with objects in the journal and no segment."""
    waiting: defaultdict[datetime, set[datetime]] = defaultdict(set)
    for window_start in layout.windows_of(await store.folders(table.folders.journal)):
        waiting[layout.hour_of(window_start)].add(window_start)
    unsealed = {}
    for hour, windows in waiting.items():
        files = await store.objects(layout.hour_prefix(hour, table.folders))
        begun = {parsed[0] for file in files if (parsed := layout.parse_chain_key(file.key))}
        if windows - begun:
            unsealed[hour] = windows - begun
    return unsealed
