"""How often a Kafka message failed for a reason that nobody foresaw, as `rejections/tries` has it.

Whoever tries a message may end before it has tried often enough, and the next one has to go on
counting. Nothing is written for a message that does not fail.
"""

from pydantic import BaseModel, ConfigDict, Field

from lake import layout
from lake.errors import KeyMissing
from lake.object_store import ObjectStore

_MAX_CHARACTERS = 1000


class Tried(BaseModel):
    """What is known of a message's failures; `last` is how the last one ended."""

    model_config = ConfigDict(frozen=True)

    times: int = Field(default=0, ge=0, le=1_000_000)
    last: str = ""


class Tries:
    """Counts failures; two counters at once may lose one, which costs one more try."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def failed(self, rejection_id: str, how: str) -> int:
        """Count one failure more; returns how many there were. Raises Unavailable."""
        key = layout.tries_key(rejection_id)
        before = await self._read(key)
        now = Tried(times=before.times + 1, last=how[:_MAX_CHARACTERS])
        await self._store.put(key, now.model_dump_json().encode("utf-8", "replace"))
        return now.times

    async def _read(self, key: str) -> Tried:
        """The count, or a new one where there is none that parses."""
        try:
            data, _ = await self._store.get(key)
            return Tried.model_validate_json(data)
        except (KeyMissing, ValueError):
            return Tried()
