"""Listing of the hours in which a table has files or unsealed rows.

A folder that can't be listed costs its own hours only: it is logged, and the hours are returned.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from lake import layout
from lake.errors import LakeError
from lake.logs import logger
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.tables import Table

log = logger(__name__)

_HOURS_A_DAY = 24


@dataclass(slots=True)
class HoursWithFiles:
    """Hours with a segment or a compacted file; `unlisted`: hours of days that can't be listed."""

    hours: set[datetime] = field(default_factory=set)
    unlisted: set[datetime] = field(default_factory=set)
    errors: list[LakeError] = field(default_factory=list)


@dataclass(slots=True)
class UnsealedWindows:
    """Windows with objects in the journal and no segment, by hour; hours that can't be listed."""

    windows: dict[datetime, set[datetime]] = field(default_factory=dict)
    unlisted: set[datetime] = field(default_factory=set)


async def hours_with_files(store: ObjectStore, table: Table) -> HoursWithFiles:
    """List the hours with files; raises StoreUnavailable if no day can be listed."""
    found = HoursWithFiles()
    for root in (table.folders.chains, table.folders.compacted):
        for day in await store.folders(root):
            try:
                names = await store.folders(f"{root}/{day}")
            except LakeError as error:
                log.warning("day not listed", folder=f"{root}/{day}", error=error)
                found.errors.append(error)
                names = [f"hour={hour:02}" for hour in range(_HOURS_A_DAY)]
                found.unlisted |= _hours(day, names)
            else:
                found.hours |= _hours(day, names)
    return found


async def unsealed_windows(store: ObjectStore, table: Table) -> UnsealedWindows:
    """List the windows without a segment.

    Raises StoreUnavailable if the journal can't be listed.
    """
    waiting: defaultdict[datetime, set[datetime]] = defaultdict(set)
    for window_start in layout.windows_of(await store.folders(table.folders.journal)):
        waiting[layout.hour_of(window_start)].add(window_start)
    unsealed = UnsealedWindows()
    for hour, windows in waiting.items():
        files = await segments_of(store, hour, table)
        if files is None:
            unsealed.unlisted.add(hour)
        elif fresh := windows - begun(files):
            unsealed.windows[hour] = fresh
    return unsealed


async def segments_of(store: ObjectStore, hour: datetime, table: Table) -> list[Stored] | None:
    """List the segments of an hour; None if they can't be listed."""
    try:
        return await store.objects(layout.hour_prefix(hour, table.folders))
    except LakeError as error:
        log.warning("hour not listed", hour=hour, table=table.name, error=error)
        return None


def begun(files: Iterable[Stored]) -> set[datetime]:
    """Windows that have a segment among these files."""
    return {parsed[0] for file in files if (parsed := layout.parse_chain_key(file.key))}


def _hours(day: str, names: Iterable[str]) -> set[datetime]:
    parsed = (layout.parse_partition(f"{day}/{name}") for name in names)
    return {hour for hour in parsed if hour is not None}
