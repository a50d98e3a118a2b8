"""Mutants that lack one rule of records, erasure or retention."""

import asyncio
import copy
import itertools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from lake import layout
from lake.commit.erasure import Eraser
from lake.commit.records import Attempt, Commit, Committer, parse_record
from lake.commit.rejections import Refusal, Rejections
from lake.errors import Fault, ImageErased, ImageNotFound, KeyMissing, StoreUnavailable
from lake.store.clock import StoreClock
from lake.store.object_store import Buffer
from lake.store.store_settings import Retention, StoreSettings
from lake.tables.fitting import proven
from lake.tables.schema import ImageRecord, Named, RefusedName, Tombstone
from lake.timing import TIMES
from tests.lake.simulation.store import SimulatedStore

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

Mutant = Callable[[], AbstractContextManager[Any]]


def with_times(**broken: timedelta) -> AbstractContextManager[Any]:
    """Give worlds protocol times that `ProtocolTimes` would refuse."""
    times = copy.copy(TIMES)
    for name, time in broken.items():
        object.__setattr__(times, name, time)
    return mock.patch("tests.lake.simulation.world.TIMES", times)


async def _commit(
    self: Committer,
    attempt: Attempt,
    record: ImageRecord,
    objects: Mapping[str, Buffer],
    journal: Callable[[ImageRecord], Any],
) -> Commit:
    """Commit as `Committer.commit` does, with `journal` as step 3."""
    await self._put_objects(attempt, objects)
    try:
        commit = await self._decide(attempt, record, proven(record))
    except Exception:
        await self.discard(objects)
        raise
    if commit.outcome == "replayed":
        await self.discard(objects)
    await journal(commit.record)
    return commit


def replay_in_its_own_window() -> AbstractContextManager[Any]:
    """A replay journals under its own window, not under its record's window."""

    async def commit(
        self: Committer, attempt: Attempt, record: ImageRecord, objects: Mapping[str, Buffer]
    ) -> Commit:
        async def journal(stored: ImageRecord) -> None:
            await self._journal.append(
                stored.model_copy(update={"window_start": attempt.window_start})
            )

        return await _commit(self, attempt, record, objects, journal)

    return mock.patch.object(Committer, "commit", commit)


def acknowledge_before_the_journal() -> AbstractContextManager[Any]:
    """A writer acknowledges while the PUT of the row's journal object is still under way."""

    async def commit(
        self: Committer, attempt: Attempt, record: ImageRecord, objects: Mapping[str, Buffer]
    ) -> Commit:
        async def journal(stored: ImageRecord) -> None:
            task = asyncio.ensure_future(self._journal.append(stored))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

        return await _commit(self, attempt, record, objects, journal)

    return mock.patch.object(Committer, "commit", commit)


def erasure_deletes_the_record() -> AbstractContextManager[Any]:
    """An erasure deletes the record, with no tombstone in its place: the name is free at once."""

    async def finish(self: Eraser, tombstone: Tombstone) -> None:
        key = layout.record_key(tombstone.tenant, tombstone.image_id)
        try:
            data, _ = await self._store.get(key)
            stored = parse_record(key, data)
            if isinstance(stored, ImageRecord) and stored.attempt == tombstone.attempt:
                await self._store.delete(key)
        except KeyMissing:
            pass
        await self._delete_objects(tombstone)

    return mock.patch.object(Eraser, "finish", finish)


def record_before_the_tombstone() -> AbstractContextManager[Any]:
    """An erasure overwrites the record before the journal tells a sealer to finish the erasure."""

    async def erase(self: Eraser, tenant: str, image_id: str) -> None:
        key = layout.record_key(tenant, image_id)
        try:
            data, _ = await self._store.get(key)
        except KeyMissing:
            raise ImageNotFound(image_id) from None
        record = parse_record(key, data)
        if isinstance(record, Tombstone):
            raise ImageErased(image_id)
        tombstone = Tombstone(
            image_id=image_id,
            tenant=tenant,
            attempt=record.attempt,
            window_start=record.window_start,
            erased_at=self._clock.now(),
        )
        await self.finish(tombstone)
        await self._journal.append_tombstone(tombstone)

    return mock.patch.object(Eraser, "erase", erase)


def unsure_writer_deletes() -> AbstractContextManager[Any]:
    """A writer that does not know whether its record was created deletes its objects."""

    async def commit(
        self: Committer, attempt: Attempt, record: ImageRecord, objects: Mapping[str, Buffer]
    ) -> Commit:
        try:
            return await _commit(self, attempt, record, objects, self._journal.append)
        except StoreUnavailable:
            await self.discard(objects)
            raise

    return mock.patch.object(Committer, "commit", commit)


def record_not_create_only() -> AbstractContextManager[Any]:
    """The PUT of a record overwrites an existing record."""
    create = SimulatedStore.create

    async def careless(self: SimulatedStore, key: str, data: Buffer) -> str:
        if key.endswith("record.json"):
            return await self.put(key, data)
        return await create(self, key, data)

    return mock.patch.object(SimulatedStore, "create", careless)


def nothing_create_only() -> AbstractContextManager[Any]:
    """The store ignores If-None-Match: *."""

    async def careless(self: SimulatedStore, key: str, data: Buffer) -> str:
        return await self.put(key, data)

    return mock.patch.object(SimulatedStore, "create", careless)


def no_expiry_margin() -> AbstractContextManager[Any]:
    """A writer takes a name over as soon as its image expires by the writer's own clock."""
    return with_times(expiry_margin=timedelta(0))


def erasure_takes_all_it_finds() -> AbstractContextManager[Any]:
    """An erasure first reads which objects the name's next image has, and lists objects later."""

    async def delete(self: Eraser, tombstone: Tombstone) -> None:
        record_key = layout.record_key(tombstone.tenant, tombstone.image_id)
        record = parse_record(record_key, (await self._store.get(record_key))[0])
        keep = {record_key}
        if isinstance(record, ImageRecord):
            keep |= {record.original_key, *(r.key for r in record.renditions)}
        prefix = layout.image_prefix(tombstone.tenant, tombstone.image_id)
        for stored in await self._store.objects(prefix):
            if stored.key not in keep:
                await self._store.delete(stored.key)

    return mock.patch.object(Eraser, "_delete_objects", delete)


def erasure_of_a_running_attempt() -> AbstractContextManager[Any]:
    """An erasure deletes objects whose record is signed and has not arrived yet."""
    return with_times(attempt_over=timedelta(minutes=15))


def attempt_without_end() -> AbstractContextManager[Any]:
    """A writer sends its record however long it slept."""
    return with_times(attempt=timedelta(days=1))


def refused_without_a_decision() -> AbstractContextManager[Any]:
    """A message is refused, and the name of its image stays free."""

    async def name(self: Rejections, refusal: Refusal, image_id: str) -> Fault:
        del self, image_id
        return refusal.reason

    return mock.patch.object(Rejections, "_name", name)


def image_takes_a_refused_name() -> AbstractContextManager[Any]:
    """A writer does not recognise its own message in a refused name."""
    begin = Committer.begin

    async def anonymous(self: Committer, tenant: str, image_id: str, *_: str) -> Attempt:
        return await begin(self, tenant, image_id)

    return mock.patch.object(Committer, "begin", anonymous)


def image_takes_a_full_name() -> AbstractContextManager[Any]:
    """A writer takes the name of an event that has its full number of refused messages."""

    class Open(RefusedName):
        @property
        def full(self) -> bool:
            return False

    def parsed(key: str, data: bytes) -> Named:
        found = parse_record(key, data)
        return Open(**dict(found)) if isinstance(found, RefusedName) else found

    return mock.patch("lake.commit.records.parse_record", parsed)


def retention_of_the_environment() -> AbstractContextManager[Any]:
    """Every second process has a retention of its own, which differs from the store's."""
    init = StoreClock.__init__
    turns = itertools.count()

    def own(self: StoreClock, store: SimulatedStore, settings: StoreSettings, *others: Any) -> None:
        init(self, store, settings, *others)
        if next(turns) % 2:
            mine = StoreSettings(retention=(Retention(days=5, since=_LONG_AGO),))
            self.__dict__["mine"] = mine

    async def read(self: StoreClock) -> None:
        await _read(self)
        self.settings = self.__dict__.get("mine", self.settings)

    _read = StoreClock._read
    both = ExitStack()
    both.enter_context(mock.patch.object(StoreClock, "__init__", own))
    both.enter_context(mock.patch.object(StoreClock, "_read", read))
    return both


def change_without_notice() -> AbstractContextManager[Any]:
    """A retention begins when it is written: some processes have just read the one before."""
    return with_times(change_delay=timedelta(0))


def longer_retention_wakes_the_expired() -> AbstractContextManager[Any]:
    """The current retention counts for all images, also for those that expired before it."""

    def expires(self: StoreSettings, window_start: datetime) -> datetime:
        return window_start + timedelta(days=self.last_days)

    def oldest(self: StoreSettings, now: datetime) -> datetime:
        return now - timedelta(days=self.days(now))

    both = ExitStack()
    both.enter_context(mock.patch.object(StoreSettings, "expires", expires))
    both.enter_context(mock.patch.object(StoreSettings, "oldest", oldest))
    return both


def tombstone_expires_with_its_image() -> AbstractContextManager[Any]:
    """A tombstone counts from the upload of its image, as its record would."""

    def expiry_of(found: Named, clock: StoreClock) -> datetime:
        expiry = clock.settings.expires(found.window_start)
        if isinstance(found, Tombstone) and found.content is None:
            return max(expiry, found.erased_at - clock.times.marker_age)
        return expiry

    patches = ExitStack()
    for module in ("lake.commit.expiry", "lake.commit.records", "lake.retention.sweeper"):
        patches.enter_context(mock.patch(f"{module}.expiry_of", expiry_of))
    return patches


OF_IMAGES: tuple[Mutant, ...] = (
    replay_in_its_own_window,
    acknowledge_before_the_journal,
    erasure_deletes_the_record,
    record_before_the_tombstone,
    unsure_writer_deletes,
    record_not_create_only,
    nothing_create_only,
    no_expiry_margin,
    erasure_takes_all_it_finds,
    erasure_of_a_running_attempt,
    attempt_without_end,
    refused_without_a_decision,
    image_takes_a_refused_name,
    image_takes_a_full_name,
    retention_of_the_environment,
    change_without_notice,
    longer_retention_wakes_the_expired,
    tombstone_expires_with_its_image,
)
