"""Rejections: refused Kafka messages, one row each, as durable as the row of an image.

  1. PUT a `record.json` create-only under the image id of the message. From here on the message is
     refused, even if its image could be processed later (for example after a change of limits). If
     an image of the same message is stored there, it stays and the message is acknowledged
  2. PUT the record of the rejection create-only: it fixes the window and the reason
  3. append the row of the stored record, by whichever process it was written, to the journal
A message that is read again finds the record of the first time and is refused again. It counts as
the same message only with the same content, because offsets can be assigned twice.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from lake import layout
from lake.commit.damaged_records import DamagedRecords, is_damaged
from lake.commit.expiry import is_free
from lake.commit.journal import Journal
from lake.commit.records import parse_record
from lake.errors import Fault, MessageExpired, UnreadableObject
from lake.old_columns import refuse_old_json
from lake.store.clock import StoreClock
from lake.store.decision import decide
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.fitting import misfits, proven
from lake.tables.schema import ImageRecord, RefusedName, Tombstone
from lake.tables.tables import REJECTION_TABLE, Rejected

_MAX_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refused message and the reason; `bytes` and `sha256` are size and digest of its value.

    `message` is the digest of the whole message. `image_id` is the id of its image; None if the
    message is too malformed to derive it.
    """

    tenant: str
    topic: str
    topic_id: str
    partition: int
    offset: int
    message_time: datetime | None
    bytes: int
    fault: Fault
    image_id: str | None = None
    sha256: str | None = None
    message: str = ""

    @property
    def rejection_id(self) -> str:
        """Id of the rejection."""
        return rejection_id(self.topic_id, self.partition, self.offset, self.message)

    @property
    def reason(self) -> Fault:
        """Fault in its stored form: printable texts of at most 1,000 characters."""
        fault = self.fault
        return Fault(
            code=_text(fault.code),
            detail=_text(fault.detail),
            limit=_number(fault.limit),
            value=None if fault.value is None else _text(fault.value),
        )


Settled = Rejected | ImageRecord | Tombstone
"""Final state of a message: refused, stored as an image, or erased."""


class Rejections:
    """Writes rejections; any number of processes may write the same one."""

    def __init__(
        self,
        store: ObjectStore,
        journals: tuple[Journal, Journal],
        clock: StoreClock,
    ) -> None:
        """`journals` are the journal of rejections and the journal of images."""
        self._store = store
        self._journal, self._images = journals
        self._clock = clock
        self._damaged = DamagedRecords(store, clock)

    async def settle(self, refusal: Refusal) -> Settled:
        """Record a refusal (steps 1 to 3) and return the final state; durable when it returns.

        If the message was stored as an image before, its row is journaled and it is returned; a
        tombstone is returned, too. Raises Unavailable.
        """
        if refusal.image_id is None:
            return await self.note(refusal)
        existing = await self._name(refusal, refusal.image_id)
        if isinstance(existing, Tombstone):
            return existing
        if isinstance(existing, ImageRecord):
            await self._images.append(existing)
            return existing
        return await self.note(replace(refusal, fault=existing))

    async def note(self, refusal: Refusal) -> Rejected:
        """Write record and row (steps 2 and 3); durable when it returns. Raises Unavailable."""
        await self._clock.fresh()
        now = self._clock.now()
        mine = Rejected(
            rejection_id=refusal.rejection_id,
            tenant=refusal.tenant,
            window_start=layout.window_start_of(now, self._clock.settings.window),
            rejected_at=now,
            topic=refusal.topic,
            topic_id=refusal.topic_id,
            partition=refusal.partition,
            offset=refusal.offset,
            message_time=refusal.message_time,
            bytes=refusal.bytes,
            sha256=refusal.sha256,
            **asdict(refusal.reason),
        )
        stored = await self._decide(mine)
        await self._journal.append(stored)
        return stored

    async def _name(self, refusal: Refusal, image_id: str) -> Fault | ImageRecord | Tombstone:
        """Reserve the image id for a refusal (step 1), or return what is stored under it."""
        await self._clock.fresh()
        key = layout.record_key(refusal.tenant, image_id)
        mine = RefusedName(
            image_id=image_id,
            tenant=refusal.tenant,
            window_start=layout.window_start_of(self._clock.now(), self._clock.settings.window),
            refused={refusal.rejection_id: refusal.reason},
        )

        async def create() -> Fault | ImageRecord | Tombstone:
            await self._store.create(key, mine.model_dump_json().encode())
            return refusal.reason

        return await decide(key, create, lambda: self._meet(refusal, mine, key))

    async def _meet(
        self, refusal: Refusal, mine: RefusedName, key: str
    ) -> Fault | ImageRecord | Tombstone | None:
        """Decide by the object stored under the image id.

        Try again after None, KeyMissing and Mismatch.
        """
        data, stored = await self._store.get(key)
        try:
            existing = parse_record(key, data)
        except UnreadableObject as error:
            # An audit reports it; an error here would block the partition.
            return None if await self._restored(refusal, stored, data, error) else refusal.reason
        if not is_free(existing, self._clock):
            if isinstance(existing, Tombstone):
                # A tombstone of other bytes keeps the id, and this message is refused.
                return existing if existing.is_of(refusal.sha256) else refusal.reason
            if isinstance(existing, ImageRecord):
                # The image of another message keeps the id, and this message is refused.
                return existing if _is_of(refusal, existing) else refusal.reason
            if (reason := existing.refused.get(refusal.rejection_id)) is not None:
                return reason
            if existing.full:
                return refusal.reason  # a full record refuses every message of its id
            mine = mine.model_copy(update={"refused": {**existing.refused, **mine.refused}})
        await self._store.replace(key, mine.model_dump_json().encode(), stored.etag)
        return refusal.reason

    async def _restored(
        self, refusal: Refusal, stored: Stored, data: bytes, error: UnreadableObject
    ) -> bool:
        """True if the damaged record of the message's image was written anew."""
        if refusal.image_id is None or not is_damaged(error):
            return False
        try:
            restored = self._damaged.restore(refusal.tenant, refusal.image_id, stored, data)
            return await restored is not None
        except UnreadableObject:
            return False

    async def _decide(self, mine: Rejected) -> Rejected:
        """Create the record (step 2), or return the one that exists."""
        key = layout.rejection_key(mine.rejection_id)
        body = proven(mine)

        async def create() -> Rejected:
            await self._store.create(key, body)
            return mine

        return await decide(key, create, lambda: self._resolve(mine, key, body))

    async def _resolve(self, mine: Rejected, key: str, body: bytes) -> Rejected:
        data, stored = await self._store.get(key)
        try:
            existing = parse_rejected(key, data)
        except UnreadableObject:
            # Overwrite it: a message that can't be refused would block its partition for ever.
            await self._store.replace(key, body, stored.etag)
            return mine
        if not is_free(existing, self._clock):
            return existing
        await self._store.replace(key, body, stored.etag)
        return mine


def rejection_id(topic_id: str, partition: int, offset: int, message: str) -> str:
    """Id of a rejection: first 128 bits of SHA-256 over the message's position, as 32 hex digits.

    The topic's UUID and not its name, because a topic that is created again restarts its offsets at
    0. `message` is a digest of the message, because a log that lost its end assigns offsets again.
    """
    name = json.dumps(["rejection", topic_id, partition, offset, message])
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _is_of(refusal: Refusal, record: ImageRecord) -> bool:
    """True if the image was made from this message: same position, same bytes.

    `content_hash` is not compared, because it contains the preset's version: a message that is read
    again after a change of the default preset is the same message.
    """
    if refusal.fault.code == MessageExpired.code:
        # Nothing is wrong with the message, so the same event at another position is a replay, too.
        return record.sha256 == refusal.sha256
    mine = refusal.topic, refusal.partition, refusal.offset, refusal.sha256
    return (record.topic, record.partition, record.offset, record.sha256) == mine


def _text(fact: object) -> str:
    # The text may quote the message, with lone surrogates and terminal escapes.
    try:
        text = str(fact)[:_MAX_CHARACTERS]
    except ValueError:  # Python does not convert integers of more than 4,300 digits
        text = "a number with too many digits"
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)[:_MAX_CHARACTERS]


def _number(limit: float | None) -> float | None:
    """Convert a limit to the column's type; None if it does not fit."""
    try:
        number = None if limit is None else float(limit)
    except OverflowError:
        return None
    return number if number is not None and math.isfinite(number) else None


def parse_rejected(key: str, data: bytes) -> Rejected:
    """Parse the record of a rejection; raises UnreadableObject."""
    try:
        rejected = Rejected.model_validate_json(data)
    except ValueError as error:
        refuse_old_json("rejection", key, data)
        raise UnreadableObject(f"rejection {key}: {error}", value=key) from error
    if wrong := misfits(rejected, REJECTION_TABLE):
        raise UnreadableObject(f"rejection {key}: values do not fit: {wrong}", value=key)
    return rejected
