"""Records: the commit point of an image.

Commit, for one image, in this order (docs/design.md, "Commit protocol"):
  1. PUT the original and the renditions, named by attempt
  2. PUT record.json create-only; whoever it was that won, its record counts from here on
  3. append the stored record to the journal, replays too
  4. return: the door acknowledges
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from lake import layout
from lake.clock import StoreClock
from lake.decision import decide
from lake.errors import (
    AttemptTooOld,
    IdempotencyConflict,
    ImageErased,
    ImageExpiring,
    RefusedBefore,
    StoreFull,
    StoreUnavailable,
    UnreadableObject,
    UnstorableRow,
)
from lake.fitting import mended, proven
from lake.journal import Journal
from lake.object_store import Buffer, ObjectStore
from lake.schema import RECORD, ImageRecord, Named, RefusedName, Tombstone
from lake.store_settings import StoreSettings

# S3 refuses signatures older than 15 minutes; an attempt that stops PUTting after 10 can leave
# nothing that lands an hour later.
ATTEMPT_SECONDS = 600.0
# Between logical expiry and takeover: more than two clocks may differ.
EXPIRY_MARGIN = timedelta(minutes=2)
# Writers wait from a sweeper's marker less this to EXPIRY_MARGIN behind it. Homes are told by
# clocks that may be seconds apart: the marker lies well inside that time.
MARKER_AGE = timedelta(seconds=30)

Objects = Mapping[str, Buffer | asyncio.Task[None]]
"""An attempt's objects by key: the bytes of each, or its `put` that is under way."""


@dataclass(frozen=True, slots=True)
class Commit:
    """How a commit ended: `created`, or `replayed` with the record of the first time."""

    outcome: Literal["created", "replayed"]
    record: ImageRecord


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one process at one image; its id ends the names of all objects it writes."""

    tenant: str
    image_id: str
    home: datetime
    source: str | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    # Looked up when called: the simulation of the tests puts another clock there.
    started: float = field(default_factory=lambda: time.monotonic())  # noqa: PLW0108

    def key(self, name: str, extension: str) -> str:
        """Key of the original or of a rendition."""
        return layout.object_key(self.tenant, self.image_id, name, self.id, extension)

    def check_age(self) -> None:
        """Raise AttemptTooOld when this attempt may not PUT any more."""
        age = time.monotonic() - self.started
        if age > ATTEMPT_SECONDS:
            raise AttemptTooOld("the attempt took too long", limit=ATTEMPT_SECONDS, value=age)


class _NoRoom(StoreFull):
    """No room for the record, and no PUT of it can be on its way."""


class Committer:
    """Writes images; any number in any number of processes may work at the same image."""

    def __init__(
        self,
        store: ObjectStore,
        journal: Journal,
        clock: StoreClock,
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock

    async def begin(self, tenant: str, image_id: str, source: str | None = None) -> Attempt:
        """A new attempt, its home fixed by the store's clock; raises StoreUnavailable.

        `source` is the `rejection_id` of the message that it is made from.
        """
        await self._clock.fresh()
        home = layout.home_of(self._clock.now(), self._clock.settings.window)
        return Attempt(tenant, image_id, home, source)

    async def put(self, attempt: Attempt, key: str, data: Buffer) -> None:
        """PUT one object ahead of the commit; `discard` it if that never comes."""
        attempt.check_age()
        await self._store.put(key, data)

    async def commit(self, attempt: Attempt, record: ImageRecord, objects: Objects) -> Commit:
        """Durable when it returns; see the top of this file.

        Raises IdempotencyConflict, ImageErased, RefusedBefore, UnstorableRow (nothing of this
        attempt is left then, nor where there was no room for the record), or Unavailable (the
        caller may try again, as a new attempt).
        """
        await self._put_objects(attempt, objects)
        try:
            # Before the record: what has one has to get its row.
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

    async def discard(self, keys: Iterable[str]) -> None:
        """Delete this attempt's own objects; what can't be deleted now, the sweeper will."""
        await asyncio.gather(*(self._store.delete(key) for key in keys), return_exceptions=True)

    async def _put_objects(self, attempt: Attempt, objects: Objects) -> None:
        attempt.check_age()
        puts = [
            what if isinstance(what, asyncio.Task) else self._store.put(key, what)
            for key, what in objects.items()
        ]
        # Wait for all of them: a PUT still under way would outlive its own clean-up.
        results = await asyncio.gather(*puts, return_exceptions=True)
        failed = [result for result in results if isinstance(result, BaseException)]
        if failed:
            await self.discard(objects)
            raise failed[0]

    async def _decide(self, attempt: Attempt, record: ImageRecord, body: bytes) -> Commit:
        """Step 2: create the record, or learn which one is there."""
        key = layout.record_key(attempt.tenant, attempt.image_id)
        unsure: list[StoreUnavailable] = []

        async def create() -> Commit:
            attempt.check_age()
            await self._store.create(key, body)
            return Commit("created", record)

        async def noting(step: Awaitable[Commit]) -> Commit:
            try:
                return await step
            except StoreUnavailable as error:
                unsure.append(error)
                raise

        def resolve() -> Awaitable[Commit]:
            return noting(self._resolve(attempt, record, key, body))

        try:
            return await decide(key, lambda: noting(create()), resolve)
        except StoreFull as error:
            if unsure:
                raise  # an earlier PUT of the record may land yet
            raise _NoRoom(error.message) from error

    async def _resolve(self, attempt: Attempt, mine: ImageRecord, key: str, body: bytes) -> Commit:
        """What the stored record means for this attempt; raises KeyMissing, Mismatch: try again."""
        data, stored = await self._store.get(key)
        found = parse_record(key, data)
        if isinstance(found, ImageRecord) and found.attempt == attempt.id:
            return Commit("created", found)
        left = expiry_of(found, self._clock.settings) - self._clock.now()
        if left <= timedelta(0):
            return await self._take_over(mine, key, body, stored.etag, left + EXPIRY_MARGIN)
        if isinstance(found, Tombstone) and found.is_of(mine.sha256):
            raise ImageErased("this image was erased", value=found.image_id)
        if isinstance(found, RefusedName):
            if (why := found.refused.get(attempt.source or "")) is not None:
                raise RefusedBefore(
                    f"refused when it was read before: {why.detail}", value=why.code
                )
            # Another message of this identity was refused: the name is free.
            await self._store.replace(key, body, stored.etag)
            return Commit("created", mine)
        if isinstance(found, Tombstone) or not _same(found, mine):
            raise IdempotencyConflict(
                "this identity was used before, with other bytes, preset or metadata",
                value=found.image_id,
            )
        return Commit("replayed", found)

    async def _take_over(
        self, mine: ImageRecord, key: str, body: bytes, etag: str, wait: timedelta
    ) -> Commit:
        """An expired record gives its name to a new image, two minutes after its expiry."""
        if wait > timedelta(0):
            raise ImageExpiring("the old image expires now", value=wait.total_seconds())
        await self._store.replace(key, body, etag)
        return Commit("created", mine)


def _same(found: ImageRecord, mine: ImageRecord) -> bool:
    """Whether it is the same request, or the same message of Kafka.

    A message that is read again after its default preset has changed asks for nothing new, and
    its bytes are the same. `content_hash` holds the preset's version.
    """
    if found.content_hash == mine.content_hash:
        return True
    return mine.topic is not None and _message(found) == _message(mine)


def _message(record: ImageRecord) -> tuple[object, ...]:
    return record.topic, record.partition, record.offset, record.sha256


def expiry_of(found: Named, settings: StoreSettings) -> datetime:
    """When what holds a name gives it up."""
    expiry = settings.expires(found.home)
    # A sweeper's marker is of an image that has long expired, and holds its name for a moment. An
    # erasure writes down what it erased.
    if isinstance(found, Tombstone) and found.content is None:
        return max(expiry, found.erased_at - MARKER_AGE)
    return expiry


def parse_record(key: str, data: bytes) -> Named:
    """Content of a `record.json`; raises UnreadableObject."""
    try:
        record = RECORD.validate_json(data)
    except ValueError as error:
        raise UnreadableObject(f"record {key}: {error}", value=key) from error
    return mended(key, record) if isinstance(record, ImageRecord) else record
