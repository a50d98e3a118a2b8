"""The protocol with one rule taken out, each. The simulation must catch every one of them."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from lake import layout, rows
from lake.chain import Chain
from lake.closing import Claim, Closing
from lake.compacted import Hour
from lake.compaction import Compactor
from lake.erasure import Eraser
from lake.errors import AlreadyExists, ImageErased, ImageNotFound, KeyMissing, StoreUnavailable
from lake.folders import ImageFolder
from lake.object_store import Buffer
from lake.pending import Batch
from lake.records import Attempt, Commit, Committer, parse_record
from lake.rejections import Refusal, Rejections
from lake.retention import Sweeper
from lake.rows import without_rows
from lake.schema import ImageRecord, Reason, Tombstone
from lake.sealer import Sealed, Sealer
from lake.stored import Stored
from lake.watermark import read_watermark
from tests.lake.simulation.store import SimulatedStore

Mutant = Callable[[], AbstractContextManager[Any]]


def names_by_content() -> AbstractContextManager[Any]:
    """Object names by content hash instead of attempt: who cleans up deletes another's objects."""

    def key(self: Attempt, name: str, extension: str) -> str:
        return layout.object_key(self.tenant, self.image_id, name, "same", extension)

    return mock.patch.object(Attempt, "key", key)


async def _commit(
    self: Committer,
    attempt: Attempt,
    record: ImageRecord,
    objects: Mapping[str, Buffer],
    journal: Callable[[ImageRecord], Any],
) -> Commit:
    """The commit, with another step 3."""
    await self._put_objects(attempt, objects)
    try:
        commit = await self._decide(attempt, record)
    except Exception:
        await self.discard(objects)
        raise
    if commit.outcome == "replayed":
        await self.discard(objects)
    await journal(commit.record)
    return commit


def replay_in_its_own_window() -> AbstractContextManager[Any]:
    """A replay journals under its own window, not under its record's home."""

    async def commit(
        self: Committer, attempt: Attempt, record: ImageRecord, objects: Mapping[str, Buffer]
    ) -> Commit:
        async def journal(stored: ImageRecord) -> None:
            await self._journal.append(stored.model_copy(update={"home": attempt.home}))

        return await _commit(self, attempt, record, objects, journal)

    return mock.patch.object(Committer, "commit", commit)


def acknowledge_before_the_journal() -> AbstractContextManager[Any]:
    """The answer goes out while the row is still on its way."""

    async def commit(
        self: Committer, attempt: Attempt, record: ImageRecord, objects: Mapping[str, Buffer]
    ) -> Commit:
        async def journal(stored: ImageRecord) -> None:
            task = asyncio.ensure_future(self._journal.append(stored))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

        return await _commit(self, attempt, record, objects, journal)

    return mock.patch.object(Committer, "commit", commit)


def journal_deleted_first() -> AbstractContextManager[Any]:
    """Journal objects go before the file is there."""

    extend = Sealer._extend

    async def hasty(
        self: Sealer, home: datetime, chain: Chain | None, batch: Batch, sealed: Sealed
    ) -> Chain | None:
        await self._pending.consume(batch)
        return await extend(self, home, chain, batch, sealed)

    return mock.patch.object(Sealer, "_extend", hasty)


def loser_takes_the_next_number() -> AbstractContextManager[Any]:
    """A sealer that lost a file takes the next number without reading the winner's."""

    create = Sealer._create

    async def blind(self: Sealer, chain: Chain, *args: Any) -> Stored:
        while True:
            try:
                return await create(self, chain, *args)
            except AlreadyExists:
                chain = chain.extended(Stored(chain.next_key, 0, "", self._clock.now()))

    return mock.patch.object(Sealer, "_create", blind)


def rewrite_without_if_match() -> AbstractContextManager[Any]:
    """Chain files are overwritten whatever they hold by now."""

    async def rewrite(self: Sealer, file: Stored, dead: frozenset[str], batch: Batch) -> None:
        del batch
        data, _ = await self._store.get(file.key)
        await self._store.put(file.key, without_rows(file.key, data, dead))

    return mock.patch.object(Sealer, "_rewrite", rewrite)


def erasure_deletes_the_record() -> AbstractContextManager[Any]:
    """The record goes instead of becoming a tombstone: the name is free at once."""

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
    """The record is overwritten before anybody is told to finish the erasure."""

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
            home=record.home,
            erased_at=self._clock.now(),
        )
        await self.finish(tombstone)
        await self._journal.append_tombstone(tombstone)

    return mock.patch.object(Eraser, "erase", erase)


def no_note_of_the_erased() -> AbstractContextManager[Any]:
    """Files do not say which ids were erased from their home."""

    footer = rows.chain_footer
    return mock.patch.object(rows, "chain_footer", return_value=footer(()))


def tombstone_consumed_at_once() -> AbstractContextManager[Any]:
    """A tombstone goes with the first pass, and nobody deletes what a paused writer leaves."""
    return mock.patch("lake.pending._TOMBSTONE_AGE", timedelta(seconds=-60))


def unsure_writer_deletes() -> AbstractContextManager[Any]:
    """A writer that does not know how its record fared deletes its objects."""

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
    """The record is PUT over whatever is there."""
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
    """A name is taken over the second its image expires by the writer's own clock."""
    return mock.patch("lake.records.EXPIRY_MARGIN", timedelta(0))


def erasure_takes_all_it_finds() -> AbstractContextManager[Any]:
    """Which objects are another life's is looked up first, and they are listed afterwards."""

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


def copy_does_not_follow() -> AbstractContextManager[Any]:
    """A sealer changes the chain of a compacted hour and leaves the copy as it is."""
    return mock.patch.object(Compactor, "follow", mock.AsyncMock())


def watermark_moves_first() -> AbstractContextManager[Any]:
    """Readers are sent to copies, and nobody makes them."""

    async def nothing(self: Compactor, start: datetime, *_: Any, **__: Any) -> None:
        del self, start

    return mock.patch.object(Compactor, "_bring", nothing)


def copy_takes_a_file_twice() -> AbstractContextManager[Any]:
    """A copy holds a chain file twice."""
    sources = Hour.sources

    def greedy(self: Hour, cut: datetime) -> list[Stored]:
        found = sources(self, cut)
        return found + found[:1]

    return mock.patch.object(Hour, "sources", greedy)


def refused_without_a_decision() -> AbstractContextManager[Any]:
    """A message is refused, and its image's name is left free."""

    async def name(self: Rejections, refusal: Refusal, image_id: str) -> Reason:
        del self, image_id
        return refusal.reason

    return mock.patch.object(Rejections, "_name", name)


def image_takes_a_refused_name() -> AbstractContextManager[Any]:
    """A writer does not know its message again in the name that was refused."""
    begin = Committer.begin

    async def anonymous(self: Committer, tenant: str, image_id: str, *_: str) -> Attempt:
        return await begin(self, tenant, image_id)

    return mock.patch.object(Committer, "begin", anonymous)


def late_row_asks_nobody() -> AbstractContextManager[Any]:
    """A sealer creates a file in an hour that readers are about to read from its copy."""
    return mock.patch.object(Closing, "permit", mock.AsyncMock())


def watermark_moves_at_once() -> AbstractContextManager[Any]:
    """A claim is not left to ripen: a file whose sealer has not read it may be on its way."""
    return mock.patch("lake.closing.CLAIM_AGE", timedelta(0))


def watermark_moves_without_if_match() -> AbstractContextManager[Any]:
    """A claim that a sealer has taken back is acted upon."""
    step = Closing.step

    async def blind(self: Closing, claim: Claim, done: datetime) -> timedelta | None:
        _, etag = await read_watermark(self._store, self._folders)
        return await step(self, replace(claim, etag=etag), done)

    return mock.patch.object(Closing, "step", blind)


def sweeper_without_a_marker() -> AbstractContextManager[Any]:
    """An expired record is deleted as it was read: perhaps it is another one by now."""

    async def expire(self: Sweeper, folder: ImageFolder, *_: object) -> None:
        await self._delete([folder.record_key, *(stored.key for stored in folder.objects)])

    return mock.patch.object(Sweeper, "_expire", expire)


def marker_that_holds_for_ever() -> AbstractContextManager[Any]:
    """A sweeper deletes a record by its marker, however long it slept."""
    return mock.patch("lake.retention._MARKER_HOLDS", 1e9)


MUTANTS: dict[str, Mutant] = {
    mutant.__name__: mutant
    for mutant in (
        names_by_content,
        replay_in_its_own_window,
        acknowledge_before_the_journal,
        journal_deleted_first,
        loser_takes_the_next_number,
        rewrite_without_if_match,
        erasure_deletes_the_record,
        record_before_the_tombstone,
        no_note_of_the_erased,
        tombstone_consumed_at_once,
        unsure_writer_deletes,
        record_not_create_only,
        nothing_create_only,
        no_expiry_margin,
        erasure_takes_all_it_finds,
        copy_does_not_follow,
        watermark_moves_first,
        copy_takes_a_file_twice,
        refused_without_a_decision,
        image_takes_a_refused_name,
        late_row_asks_nobody,
        watermark_moves_at_once,
        watermark_moves_without_if_match,
        sweeper_without_a_marker,
        marker_that_holds_for_ever,
    )
}
