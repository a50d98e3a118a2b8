"""Records: the commit point of an image.

Commit of one image, in this order (docs/design.md, "Commit"):
  1. PUT the original and the renditions, named by attempt
  2. PUT record.json create-only; the record of the winner counts from here on
  3. append the stored record to the journal, also for a replay
  4. return: the caller acknowledges the image
"""

import asyncio
import secrets
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, TypeVar

from lake import layout
from lake.commit.damaged_records import DamagedRecords, is_damaged
from lake.commit.expiry import expiry_of, is_free
from lake.commit.journal import Journal
from lake.commit.kafka_messages import check_age, check_refused
from lake.commit.requests import LookUp, Request
from lake.errors import (
    AttemptTooOld,
    IdempotencyConflict,
    ImageErased,
    ImageExpiring,
    KeyMissing,
    RefusedBefore,
    StoreFull,
    StoreUnavailable,
    UnreadableObject,
    UnstorableRow,
)
from lake.old_columns import refuse_old_json
from lake.store.clock import StoreClock
from lake.store.decision import compare_and_swap, decide
from lake.store.machine_clock import MACHINE, Moment
from lake.store.object_meta import Stored
from lake.store.object_store import Buffer, ObjectStore
from lake.tables.fitting import mended, proven
from lake.tables.schema import RECORD, ImageRecord, Named, RefusedName, Tombstone
from lake.timing import ProtocolTimes

C = TypeVar("C")

# Longest time from a look-up to the answer, as long as a slow answer of the store.
_LOOK_UP_AGE = timedelta(seconds=2)

Objects = Mapping[str, Buffer | asyncio.Task[None]]
"""Objects of an attempt by key: bytes, or the task of a running `put`."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Result of a commit: `created`, or `replayed` with the stored record."""

    outcome: Literal["created", "replayed"]
    record: ImageRecord


@dataclass(frozen=True, slots=True)
class Attempt:
    """Attempt of a process to store an image; the attempt's id is part of its objects' names.

    `message_time` is the time of its Kafka message, None if the message does not expire.
    """

    tenant: str
    image_id: str
    window_start: datetime
    rejection_id: str | None = None
    message_time: datetime | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    started: Moment = field(default_factory=MACHINE.moment)

    def key(self, name: str, extension: str) -> str:
        """Key of the original or of a rendition."""
        return layout.object_key(self.tenant, self.image_id, name, self.id, extension)

    def check_age(self, times: ProtocolTimes) -> None:
        """Raise AttemptTooOld if this attempt must not send PUTs any more."""
        age, limit = self.started.age.total_seconds(), times.attempt.total_seconds()
        if age > limit:
            raise AttemptTooOld(
                f"the attempt took {age:.0f} s, more than {limit:.0f} s; try again",
                limit=limit,
                value=age,
            )


class _NoRoom(StoreFull):
    """Full store at the PUT of the record; no earlier PUT of the record can still take effect."""


class Committer:
    """Commits images; any number of processes may commit the same image at once."""

    def __init__(
        self,
        store: ObjectStore,
        journal: Journal,
        clock: StoreClock,
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._damaged = DamagedRecords(store, clock)

    async def check_message(self, message_time: datetime) -> None:
        """Check the age of a Kafka message; raises MessageExpired, StoreUnavailable."""
        await self._clock.fresh()
        check_age(message_time, self._clock)

    async def begin(
        self,
        tenant: str,
        image_id: str,
        rejection_id: str | None = None,
        message_time: datetime | None = None,
    ) -> Attempt:
        """Start an attempt, with a window by the store's clock.

        `rejection_id` and `message_time` are those of its Kafka message. Raises MessageExpired,
        StoreUnavailable.
        """
        # The moment comes first: the age of the attempt includes a pause before it has its window.
        started = self._clock.machine.moment()
        await self._clock.fresh()
        check_age(message_time, self._clock)
        window_start = layout.window_start_of(self._clock.now(), self._clock.settings.window)
        return Attempt(tenant, image_id, window_start, rejection_id, message_time, started=started)

    async def put(self, attempt: Attempt, key: str, data: Buffer) -> None:
        """PUT one object before the commit; call `discard` if the commit is not made."""
        attempt.check_age(self._clock.times)
        await self._store.put(key, data)

    async def commit(self, attempt: Attempt, record: ImageRecord, objects: Objects) -> Commit:
        """Commit an image; it is durable when this returns (steps above).

        Raises IdempotencyConflict, ImageErased, RefusedBefore, UnstorableRow. After these errors,
        and if the store had no room for the record, the attempt's objects are deleted. Raises
        Unavailable; the caller may then try again with a new attempt.
        """
        await self._put_objects(attempt, objects)
        try:
            # Check the row before the record is written, because every record must get its row.
            commit = await self._decide(attempt, record, proven(record))
        except (
            IdempotencyConflict,
            ImageErased,
            ImageExpiring,
            RefusedBefore,
            UnstorableRow,
            _NoRoom,
        ):
            await self.discard(objects)
            raise
        if commit.outcome == "replayed":
            await self.discard(objects)
        await self._journal.append(commit.record)
        return commit

    async def look_up(self, tenant: str, image_id: str) -> LookUp:
        """Read the record of an image; raises UnreadableObject, Unavailable."""
        at = self._clock.machine.moment()
        await self._clock.fresh()
        key = layout.record_key(tenant, image_id)
        try:
            found = parse_record(key, (await self._store.get(key))[0])
        except KeyMissing:
            return LookUp(None, at)
        if not isinstance(found, ImageRecord):
            return LookUp(None, at)
        return LookUp(found if expiry_of(found, self._clock) > self._clock.now() else None, at)

    async def replay(
        self, tenant: str, image_id: str, request: Request, looked: LookUp | None = None
    ) -> Commit | None:
        """Find the image that an earlier repetition of the request stored; None without one.

        `looked`: an earlier look-up; a record that it found long ago is read again, because the
        image may have been erased. A damaged record is written anew, as by a commit. The row of the
        image is durable when this returns. Raises UnreadableObject, Unavailable.
        """
        if looked is None or (looked.record and looked.at.age > _LOOK_UP_AGE):
            repaired = partial(self._repaired_look_up, tenant, image_id)
            looked = await compare_and_swap(repaired, f"image {image_id}")
        found = looked.record
        if found is None or not request.made(found):
            return None
        await self._journal.append(found)
        return Commit("replayed", found)

    async def _repaired_look_up(self, tenant: str, image_id: str) -> LookUp | None:
        """Look up an image; None after a damaged record was written anew."""
        at = self._clock.machine.moment()
        try:
            return await self.look_up(tenant, image_id)
        except UnreadableObject as error:
            if not is_damaged(error):
                raise
        data, stored = await self._store.get(layout.record_key(tenant, image_id))
        if await self._damaged.restore(tenant, image_id, stored, data):
            return None
        return LookUp(None, at)

    async def discard(self, keys: Iterable[str]) -> None:
        """Delete objects of this attempt; the sweeper deletes those that can't be deleted now."""
        await asyncio.gather(*(self._store.delete(key) for key in keys), return_exceptions=True)

    async def _put_objects(self, attempt: Attempt, objects: Objects) -> None:
        attempt.check_age(self._clock.times)
        puts = [
            what if isinstance(what, asyncio.Task) else self._store.put(key, what)
            for key, what in objects.items()
        ]
        # Wait for all PUTs, because a running PUT could write its object after the deletion.
        results = await asyncio.gather(*puts, return_exceptions=True)
        failed = [result for result in results if isinstance(result, BaseException)]
        if failed:
            await self.discard(objects)
            raise failed[0]

    async def _decide(self, attempt: Attempt, record: ImageRecord, body: bytes) -> Commit:
        """Create the record (step 2), or decide by the one that exists."""
        key = layout.record_key(attempt.tenant, attempt.image_id)
        unsure: list[StoreUnavailable] = []

        async def create() -> Commit:
            attempt.check_age(self._clock.times)
            await self._store.create(key, body)
            return Commit("created", record)

        async def noting(step: Awaitable[C]) -> C:
            try:
                return await step
            except StoreUnavailable as error:
                unsure.append(error)
                raise

        def resolve() -> Awaitable[Commit | None]:
            return noting(self._resolve(attempt, record, key, body))

        try:
            return await decide(key, lambda: noting(create()), resolve)
        except StoreFull as error:
            if unsure:
                raise  # an earlier PUT of the record may still take effect
            raise _NoRoom(error.detail) from error

    async def _resolve(
        self, attempt: Attempt, mine: ImageRecord, key: str, body: bytes
    ) -> Commit | None:
        """Decide by the stored record; try again after None, KeyMissing and Mismatch."""
        data, stored = await self._store.get(key)
        try:
            existing = parse_record(key, data)
        except UnreadableObject as error:
            if not is_damaged(error):
                raise
            if await self._restored(attempt, stored, data):
                return None
            return await self._overwrite(attempt, mine, key, body, stored.etag)
        if isinstance(existing, ImageRecord) and existing.attempt == attempt.id:
            return Commit("created", existing)
        if is_free(existing, self._clock):
            return await self._overwrite(attempt, mine, key, body, stored.etag)
        if isinstance(existing, Tombstone) and existing.is_of(mine.sha256):
            raise ImageErased("this image was erased", value=existing.image_id)
        if isinstance(existing, RefusedName):
            check_refused(existing, attempt.rejection_id, attempt.message_time)
            # Only another message with this identity was refused, so the name is free.
            return await self._overwrite(attempt, mine, key, body, stored.etag)
        if isinstance(existing, Tombstone) or not _same(existing, mine):
            raise IdempotencyConflict(
                "this identity was used before with other bytes, preset or metadata",
                value=existing.image_id,
            )
        return Commit("replayed", existing)

    async def _restored(self, attempt: Attempt, stored: Stored, data: bytes) -> bool:
        """Write a damaged record anew; false if its name is free for this attempt.

        Raises RecordDamaged, RefusedBefore.
        """
        if await self._damaged.restore(attempt.tenant, attempt.image_id, stored, data):
            return True
        self._damaged.check_free(stored)
        await self._damaged.check_not_refused(attempt.rejection_id)
        return False

    async def _overwrite(
        self, attempt: Attempt, mine: ImageRecord, key: str, body: bytes, etag: str
    ) -> Commit:
        # The process may have slept since the record was read.
        attempt.check_age(self._clock.times)
        await self._store.replace(key, body, etag)
        return Commit("created", mine)


def _same(found: ImageRecord, mine: ImageRecord) -> bool:
    """True if both records have the same content, or are of one request or one Kafka message.

    `content_hash` contains the preset's version. So request and message are compared, too: they
    are the same when they come again after a change of the preset. A record of a version before
    `requested_preset` has no request.
    """
    if found.content_hash == mine.content_hash:
        return True
    if (request := Request.of(mine)) is not None and Request.of(found) == request:
        return True
    return mine.topic is not None and _message(found) == _message(mine)


def _message(record: ImageRecord) -> tuple[object, ...]:
    return record.topic, record.partition, record.offset, record.sha256


def parse_record(key: str, data: bytes) -> Named:
    """Parse a `record.json`; raises UnreadableObject."""
    try:
        record = RECORD.validate_json(data)
    except ValueError as error:
        refuse_old_json("record", key, data)
        raise UnreadableObject(f"record {key}: {error}", value=key) from error
    return mended(key, record) if isinstance(record, ImageRecord) else record
