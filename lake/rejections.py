"""Rejections: what Kafka sent and was refused, one row each, as durable as an image's.

  1. PUT a `record.json` create-only, under the name that its image would have: from here on this
     message is refused, whatever comes of its bytes the next time (a decoder that did not die,
     another limit). An image of this very message is there: it stays one, and is acknowledged
  2. PUT the rejection's record create-only: it fixes the home, and the reason that counts
  3. append the row of the record that is there, whoever wrote it, to the journal of its home
A message that is read again is refused again, and finds the record of the first time. It is the
same message only if it says the same: a position in a log may be given out twice.
"""

import hashlib
import json
import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lake import layout
from lake.clock import StoreClock
from lake.decision import decide
from lake.errors import ImageExpiring, UnreadableObject
from lake.fitting import misfits, proven
from lake.journal import Journal
from lake.object_store import ObjectStore
from lake.records import EXPIRY_MARGIN, expiry_of, parse_record
from lake.schema import ImageRecord, Reason, RefusedName, Tombstone
from lake.tables import REJECTION_TABLE, Rejected

_MAX_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message and why it was refused; `bytes` is the size of its value, `sha256` its digest.

    `message` is the digest of all that the message says. `image_id` is what its image would be
    called, None where not even that can be told.
    """

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
    image_id: str | None = None
    sha256: str | None = None
    message: str = ""

    @property
    def rejection_id(self) -> str:
        """What its rejection is called."""
        return rejection_id(self.topic_id, self.partition, self.offset, self.message)

    @property
    def reason(self) -> Reason:
        """Why, as it is stored: at most 1,000 characters a text, each of which prints."""
        return Reason(
            code=_text(self.code),
            detail=_text(self.detail),
            limit=_number(self.limit),
            value=None if self.value is None else _text(self.value),
        )


Settled = Rejected | ImageRecord | Tombstone
"""What a message is, once and for all: refused, an image after all, or an erased one."""


class Rejections:
    """Writes rejections; any number of processes may write the same one."""

    def __init__(
        self,
        store: ObjectStore,
        journals: tuple[Journal, Journal],
        clock: StoreClock,
    ) -> None:
        """`journals`: that of rejections, and that of images."""
        self._store = store
        self._journal, self._images = journals
        self._clock = clock

    async def settle(self, refusal: Refusal) -> Settled:
        """Steps 1 to 3; durable when it returns: what this message is, once and for all.

        An image, with its row journaled, or a tombstone, where that came first. Raises Unavailable.
        """
        if refusal.image_id is None:
            return await self.note(refusal)
        found = await self._name(refusal, refusal.image_id)
        if isinstance(found, Tombstone):
            return found
        if isinstance(found, ImageRecord):
            await self._images.append(found)
            return found
        said = found.model_dump()
        return await self.note(replace(refusal, **said))

    async def note(self, refusal: Refusal) -> Rejected:
        """Steps 2 and 3; durable when it returns: the row of this message. Raises Unavailable."""
        await self._clock.fresh()
        now = self._clock.now()
        mine = Rejected(
            rejection_id=refusal.rejection_id,
            tenant=refusal.tenant,
            home=layout.home_of(now, self._clock.settings.window),
            rejected_at=now,
            topic=refusal.topic,
            topic_id=refusal.topic_id,
            partition=refusal.partition,
            offset=refusal.offset,
            message_time=refusal.message_time,
            bytes=refusal.bytes,
            sha256=refusal.sha256,
            **refusal.reason.model_dump(),
        )
        stored = await self._decide(mine)
        await self._journal.append(stored)
        return stored

    async def _name(self, refusal: Refusal, image_id: str) -> Reason | ImageRecord | Tombstone:
        """Step 1: take the name for a refusal, or learn what has it."""
        await self._clock.fresh()
        key = layout.record_key(refusal.tenant, image_id)
        mine = RefusedName(
            image_id=image_id,
            tenant=refusal.tenant,
            home=layout.home_of(self._clock.now(), self._clock.settings.window),
            refused={refusal.rejection_id: refusal.reason},
        )

        async def create() -> Reason | ImageRecord | Tombstone:
            await self._store.create(key, mine.model_dump_json().encode())
            return refusal.reason

        return await decide(key, create, lambda: self._meet(refusal, mine, key))

    async def _meet(
        self, refusal: Refusal, mine: RefusedName, key: str
    ) -> Reason | ImageRecord | Tombstone:
        """What the name's holder means for this refusal; raises KeyMissing, Mismatch."""
        data, stored = await self._store.get(key)
        try:
            found = parse_record(key, data)
        except UnreadableObject:
            return refusal.reason  # the audit names it; here it would hold up the partition
        if not self._expired(expiry_of(found, self._clock.settings)):
            if isinstance(found, Tombstone):
                # Of other bytes: the name is taken, and this message is refused.
                return found if found.is_of(refusal.sha256) else refusal.reason
            if isinstance(found, ImageRecord):
                # Another message's image, which is in the way of this one: so that is refused.
                return found if _is_of(refusal, found) else refusal.reason
            if (said := found.refused.get(refusal.rejection_id)) is not None:
                return said
            mine = mine.model_copy(update={"refused": {**found.refused, **mine.refused}})
        await self._store.replace(key, mine.model_dump_json().encode(), stored.etag)
        return refusal.reason

    async def _decide(self, mine: Rejected) -> Rejected:
        """Step 2: create the record, or learn which one is there."""
        key = layout.rejection_key(mine.rejection_id)
        body = proven(mine)

        async def create() -> Rejected:
            await self._store.create(key, body)
            return mine

        return await decide(key, create, lambda: self._resolve(mine, key, body))

    async def _resolve(self, mine: Rejected, key: str, body: bytes) -> Rejected:
        data, stored = await self._store.get(key)
        try:
            found = parse_rejected(key, data)
        except UnreadableObject:
            # A message that can't be refused would hold up its partition for good.
            await self._store.replace(key, body, stored.etag)
            return mine
        if not self._expired(self._clock.settings.expires(found.home)):
            return found
        await self._store.replace(key, body, stored.etag)
        return mine

    def _expired(self, expiry: datetime) -> bool:
        """Whether that name is free; raises ImageExpiring until nobody's clock thinks otherwise."""
        left = expiry - self._clock.now()
        if left > timedelta(0):
            return False
        if (wait := left + EXPIRY_MARGIN) > timedelta(0):
            raise ImageExpiring("what was there expires now", value=wait.total_seconds())
        return True


def rejection_id(topic_id: str, partition: int, offset: int, message: str) -> str:
    """First 128 bits of SHA-256 over what names a message, as 32 hex digits.

    The topic's UUID, not its name: a topic made again counts its offsets from 0 again. `message`,
    a digest of what it says: so does a log that lost its end.
    """
    name = json.dumps(["rejection", topic_id, partition, offset, message])
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _is_of(refusal: Refusal, record: ImageRecord) -> bool:
    """Whether the image is of this very message: of its position, and of the same bytes.

    Not by `content_hash`, which holds the preset's version: a message that is read again after
    the default preset has changed is the same message.
    """
    mine = refusal.topic, refusal.partition, refusal.offset, refusal.sha256
    return (record.topic, record.partition, record.offset, record.sha256) == mine


def _text(fact: object) -> str:
    # It may quote the message: lone surrogates, terminal escapes and all.
    try:
        said = str(fact)[:_MAX_CHARACTERS]
    except ValueError:  # a whole number of thousands of digits
        said = "a number too long to write"
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in said)
    return "".join(shown)[:_MAX_CHARACTERS]


def _number(limit: float | None) -> float | None:
    """The limit as the column holds it; None for one that it does not."""
    try:
        said = None if limit is None else float(limit)
    except OverflowError:
        return None
    return said if said is not None and math.isfinite(said) else None


def parse_rejected(key: str, data: bytes) -> Rejected:
    """A rejection's record; raises UnreadableObject."""
    try:
        found = Rejected.model_validate_json(data)
    except ValueError as error:
        raise UnreadableObject(f"rejection {key}: {error}", value=key) from error
    if wrong := misfits(found, REJECTION_TABLE):
        raise UnreadableObject(f"rejection {key}: no column holds its {wrong}", value=key)
    return found
