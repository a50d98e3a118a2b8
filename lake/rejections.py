"""Rejections: what Kafka sent and was refused, one row each, as durable as an image's.

  1. PUT the rejection's record create-only: it fixes the home, and the reason that counts
  2. append the row of the record that is there, whoever wrote it, to the journal of its home
A message that is read again is refused again, and finds the record of the first time.
"""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from lake import layout
from lake.clock import StoreClock
from lake.errors import (
    AlreadyExists,
    ImageExpiring,
    KeyMissing,
    LakeError,
    Mismatch,
    StoreUnavailable,
    UnreadableObject,
)
from lake.journal import Journal
from lake.object_store import ObjectStore
from lake.records import EXPIRY_MARGIN
from lake.tables import Rejected

_TRIES = 4
_MAX_CHARACTERS = 1000
_BACKOFF_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message and why it was refused; `bytes` is the size of its value."""

    tenant: str
    topic: str
    topic_id: str
    partition: int
    offset: int
    message_time: datetime | None
    bytes: int
    code: str
    detail: str
    limit: float | None = None
    value: float | str | None = None

    @property
    def rejection_id(self) -> str:
        """First 128 bits of SHA-256 over what names the message, as 32 hex digits.

        The topic's UUID, not its name: a topic made again counts its offsets from 0 again.
        """
        name = json.dumps(["rejection", self.topic_id, self.partition, self.offset])
        return hashlib.sha256(name.encode()).hexdigest()[:32]


class Rejections:
    """Writes rejections; any number of processes may write the same one."""

    def __init__(
        self,
        store: ObjectStore,
        journal: Journal,
        clock: StoreClock,
        window: timedelta,
        retention: timedelta,
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._window = window
        self._retention = retention

    async def note(self, refusal: Refusal) -> Rejected:
        """Durable when it returns: the row that stands for this message; raises Unavailable."""
        await self._clock.fresh()
        now = self._clock.now()
        mine = Rejected(
            rejection_id=refusal.rejection_id,
            tenant=refusal.tenant,
            home=layout.home_of(now, self._window),
            rejected_at=now,
            topic=refusal.topic,
            topic_id=refusal.topic_id,
            partition=refusal.partition,
            offset=refusal.offset,
            message_time=refusal.message_time,
            bytes=refusal.bytes,
            code=refusal.code,
            detail=_text(refusal.detail),
            limit=refusal.limit,
            value=None if refusal.value is None else _text(refusal.value),
        )
        stored = await self._decide(mine)
        await self._journal.append(stored)
        return stored

    async def _decide(self, mine: Rejected) -> Rejected:
        """Create the record, or learn which one is there."""
        key = layout.rejection_key(mine.rejection_id)
        body = mine.model_dump_json().encode()
        fault: LakeError = StoreUnavailable(f"{key} is neither there nor free")
        for turn in range(_TRIES):
            try:
                await self._store.create(key, body)
            except AlreadyExists:
                pass
            except StoreUnavailable as error:
                fault = error  # not an answer: it may have landed
            else:
                return mine
            try:
                return await self._resolve(mine, key, body)
            except (KeyMissing, Mismatch):
                pass
            except StoreUnavailable as error:
                fault = error
            await asyncio.sleep(_BACKOFF_SECONDS * 2**turn)
        raise fault

    async def _resolve(self, mine: Rejected, key: str, body: bytes) -> Rejected:
        data, stored = await self._store.get(key)
        try:
            found = parse_rejected(key, data)
        except UnreadableObject:
            # A message that can't be refused would hold up its partition for good.
            await self._store.replace(key, body, stored.etag)
            return mine
        left = found.home + self._retention - self._clock.now()
        if left > timedelta(0):
            return found
        # As an image's name: free once nobody's clock can think otherwise.
        if (wait := left + EXPIRY_MARGIN) > timedelta(0):
            raise ImageExpiring("the old rejection expires now", value=wait.total_seconds())
        await self._store.replace(key, body, stored.etag)
        return mine


def _text(fact: object) -> str:
    # It may quote the message, lone surrogates and all.
    return str(fact)[:_MAX_CHARACTERS].encode("utf-8", "backslashreplace").decode()


def parse_rejected(key: str, data: bytes) -> Rejected:
    """A rejection's record; raises UnreadableObject."""
    try:
        return Rejected.model_validate_json(data)
    except ValueError as error:
        raise UnreadableObject(f"rejection {key}: {error}", value=key) from error
