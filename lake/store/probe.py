"""Start-up probe: refuses a store without the guarantees that the commit protocol needs.

Several S3-compatible servers answered 200 to all of 32 concurrent creators of one key, or accepted
an If-Match on a missing key. On such a store rows would be duplicated silently.
"""

import asyncio
import uuid

from lake import layout
from lake.errors import AlreadyExists, KeyMissing, Mismatch, StoreUntrustworthy
from lake.store.object_store import ObjectStore

_CREATORS = 32
# Tries of an If-Match with the right ETag.
_TRIES = 3
# Size of a trial write in bytes; a nearly full disk would still accept a few bytes.
_TRIAL_BYTES = 64 * 1024


async def probe(store: ObjectStore) -> None:
    """Check the guarantees; raises StoreUntrustworthy with the broken one, StoreUnavailable."""
    key = f"{layout.PROBE}/{uuid.uuid4().hex}"
    try:
        await _at_most_one_creator(store, key)
        await _if_match(store, key)
    finally:
        await store.delete(key)
    if await _replaces(store, f"{key}-missing", '"0123456789abcdef0123456789abcdef"'):
        raise StoreUntrustworthy("the store accepted an If-Match on a missing key")


async def trial_write(store: ObjectStore) -> None:
    """Store and delete one small object; raises StoreUnavailable or StoreFull."""
    key = f"{layout.PROBE}/{uuid.uuid4().hex}"
    await store.put(key, bytes(_TRIAL_BYTES))
    await store.delete(key)


async def _at_most_one_creator(store: ObjectStore, key: str) -> None:
    bodies = [f"creator {n}".encode() for n in range(_CREATORS)]
    won = await asyncio.gather(*(_creates(store, key, body) for body in bodies))
    stored, _ = await store.get(key)
    winners = [body for body, mine in zip(bodies, won, strict=True) if mine]
    # No winner is possible: its answer was lost, and the retry of its own PUT was refused.
    if len(winners) > 1 or stored not in (winners or bodies):
        raise StoreUntrustworthy(
            f"{len(winners)} of {_CREATORS} concurrent create-only PUTs of one key won",
            limit=1,
            value=len(winners),
        )


async def _if_match(store: ObjectStore, key: str) -> None:
    for _ in range(_TRIES):
        # S3 may answer 409, and a repeated request may meet its own first one.
        first = (await store.head(key)).etag
        if await _replaces(store, key, first):
            break
    else:
        raise StoreUntrustworthy("the store refused an If-Match with the right ETag")
    if await _replaces(store, key, first):
        raise StoreUntrustworthy("the store accepted an If-Match with a stale ETag")


async def _creates(store: ObjectStore, key: str, body: bytes) -> bool:
    try:
        await store.create(key, body)
    except AlreadyExists:
        return False
    return True


async def _replaces(store: ObjectStore, key: str, etag: str) -> bool:
    try:
        # A new body each time, because the ETag may be a hash of the content.
        await store.replace(key, uuid.uuid4().hex.encode(), etag)
    except (Mismatch, KeyMissing):
        return False
    return True
