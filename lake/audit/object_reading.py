"""Reading of objects by an audit: an object that the store does not deliver is a fault of its own.

A store that delivers nothing at all ends the audit.
"""

from collections.abc import Sequence
from contextlib import suppress

from lake import layout
from lake.errors import KeyMissing, StoreUnavailable, UnreadableObject
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore

Content = bytes | UnreadableObject | None
"""Bytes of an object, None if it is missing, or the reason why it can't be read."""


async def read_each(store: ObjectStore, keys: Sequence[str]) -> list[Content]:
    """Read objects, in order; raises StoreUnavailable if the store delivers no object."""
    try:
        return list(await store.read_many(keys))
    except StoreUnavailable:
        return [await _read_alone(store, key) for key in keys]


async def read_object(store: ObjectStore, key: str) -> tuple[bytes, Stored]:
    """Read an object and its metadata.

    Raises KeyMissing, UnreadableObject, and StoreUnavailable if the store delivers no object.
    """
    try:
        return await store.get(key)
    except StoreUnavailable:
        await check_answers(store)
        try:
            return await store.get(key)
        except StoreUnavailable as error:
            raise _undelivered(key, error) from error


async def check_answers(store: ObjectStore) -> None:
    """Raise StoreUnavailable if the store does not deliver its own settings either."""
    with suppress(KeyMissing):
        await store.get(layout.STORE)


async def _read_alone(store: ObjectStore, key: str) -> Content:
    try:
        return (await store.read_many([key]))[0]
    except StoreUnavailable:
        await check_answers(store)
    # Read again, because the store may have failed for a moment only.
    try:
        return (await store.read_many([key]))[0]
    except StoreUnavailable as error:
        return _undelivered(key, error)


def _undelivered(key: str, error: StoreUnavailable) -> UnreadableObject:
    return UnreadableObject(f"{key}: {error.detail}", value=key)


def first_line(error: Exception) -> str:
    """First line of an error's text, without quoted content."""
    return str(error).split("\n", 1)[0]
