"""Listing of the hours in which a table has files or unsealed rows."""

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


async def unsealed_hours(store: ObjectStore, table: Table) -> set[datetime]:
    """List the hours in which a window has rows in the journal and no segment."""
    waiting: dict[datetime, set[datetime]] = {}
    for window_start in layout.windows_of(await store.folders(table.folders.journal)):
        waiting.setdefault(layout.hour_of(window_start), set()).add(window_start)
    unsealed = set()
    for hour, windows in waiting.items():
        files = await store.objects(layout.hour_prefix(hour, table.folders))
        begun = {parsed[0] for file in files if (parsed := layout.parse_chain_key(file.key))}
        if windows - begun:
            unsealed.add(hour)
    return unsealed
