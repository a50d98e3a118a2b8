"""Audit of the audit log: every erasure in it must have its tombstone, and the reverse."""

from datetime import timedelta

from pydantic import ValidationError

from lake import layout
from lake.audit.object_reading import first_line, read_each
from lake.audit.scope import Scope
from lake.audit.snapshot import SnapshotWriter
from lake.errors import UnreadableObject
from lake.store.object_store import ObjectStore
from lake.tables.schema import Tombstone

# Entries read at once.
_BATCH = 1024


async def scan_erasures(store: ObjectStore, scope: Scope, snapshot: SnapshotWriter) -> None:
    """Add the entries of the audit log to the snapshot; call it after the scan of the records.

    The log is kept longer than images, so only the days of the scope are read. Raises
    StoreUnavailable.
    """
    # An image was erased on the day of its window or later.
    first = (scope.start - timedelta(days=1)).date()
    for name in await store.folders(layout.ERASURES):
        day = layout.parse_day(name)
        if day is not None and day >= first:
            async for page in store.pages(f"{layout.ERASURES}/{name}"):
                for start in range(0, len(page), _BATCH):
                    keys = [stored.key for stored in page[start : start + _BATCH]]
                    await _entries(store, scope, snapshot, keys)


async def _entries(
    store: ObjectStore, scope: Scope, snapshot: SnapshotWriter, keys: list[str]
) -> None:
    for key, content in zip(keys, await read_each(store, keys), strict=True):
        if content is None:
            continue
        try:
            entry = _parsed(key, content)
        except UnreadableObject as error:
            snapshot.fault("unreadable", key, first_line(error))
            continue
        name = layout.erasure_key(entry.image_id, entry.attempt, entry.erased_at)
        if name != key:
            snapshot.fault("misplaced", key, f"it is the entry {name}")
        if scope.is_future(entry.erased_at):
            snapshot.fault("future", key, f"erased {entry.erased_at:%F %T}")
        where = (entry.tenant, entry.image_id, entry.attempt, entry.window_start)
        snapshot.add("erasures", *where, entry.erased_at, key)


def _parsed(key: str, content: bytes | UnreadableObject) -> Tombstone:
    if isinstance(content, UnreadableObject):
        raise content
    try:
        return Tombstone.model_validate_json(content)
    except ValidationError as error:
        raise UnreadableObject(f"entry {key}: {error}", value=key) from error
