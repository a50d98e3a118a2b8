"""Durable counters of unexpected failures of Kafka messages, in `rejections/tries`.

A consumer may restart before a message has failed often enough to be refused, and the next consumer
continues its count. Nothing is written for a message that does not fail.
"""

from pydantic import BaseModel, ConfigDict, Field

from lake import layout
from lake.errors import KeyMissing
from lake.store.object_store import ObjectStore

_MAX_CHARACTERS = 1000


class Tried(BaseModel):
    """Failures of a message; `last` is the text of the last error."""

    model_config = ConfigDict(frozen=True)

    times: int = Field(default=0, ge=0, le=1_000_000)
    last: str = ""


class Tries:
    """Counts failures; concurrent counting may lose one, which costs one more try."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def failed(self, rejection_id: str, how: str) -> int:
        """Count one more failure; returns the count. Raises Unavailable."""
        key = layout.tries_key(rejection_id)
        before = await self._read(key)
        now = Tried(times=before.times + 1, last=how[:_MAX_CHARACTERS])
        await self._store.put(key, now.model_dump_json().encode("utf-8", "replace"))
        return now.times

    async def _read(self, key: str) -> Tried:
        """Read the count; zero if it is missing or does not parse."""
        try:
            data, _ = await self._store.get(key)
            return Tried.model_validate_json(data)
        except (KeyMissing, ValueError):
            return Tried()
