"""Rules of journal, chain, compaction and watermark, each taken out."""

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from lake import layout
from lake.commit.records import Attempt
from lake.errors import AlreadyExists
from lake.seal.compacted import Hour
from lake.seal.compaction import Compactor
from lake.seal.journal_batches import Batch
from lake.seal.sealer import Sealed, Sealer
from lake.seal.segments import Chain
from lake.seal.watermark import read_watermark
from lake.seal.watermark_advance import Claim, WatermarkAdvance
from lake.store.object_meta import Stored
from lake.tables import rows
from lake.tables.rows import without_rows
from tests.lake.simulation.mutants_of_images import Mutant, with_times


def names_by_content() -> AbstractContextManager[Any]:
    """Object names by content hash instead of attempt: who cleans up deletes another's objects."""

    def key(self: Attempt, name: str, extension: str) -> str:
        return layout.object_key(self.tenant, self.image_id, name, "same", extension)

    return mock.patch.object(Attempt, "key", key)


def journal_deleted_first() -> AbstractContextManager[Any]:
    """Journal objects go before the file is there."""

    extend = Sealer._extend

    async def hasty(
        self: Sealer, window_start: datetime, chain: Chain | None, batch: Batch, sealed: Sealed
    ) -> Chain | None:
        await self._pending.consume(batch)
        return await extend(self, window_start, chain, batch, sealed)

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


def no_note_of_the_erased() -> AbstractContextManager[Any]:
    """Files do not say which ids were erased from their window."""

    footer = rows.chain_footer
    return mock.patch.object(rows, "chain_footer", return_value=footer(()))


def tombstone_consumed_at_once() -> AbstractContextManager[Any]:
    """A tombstone goes with the first pass, and nobody deletes what a paused writer leaves."""
    return with_times(tombstone_age=timedelta(seconds=-60))


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


def late_row_asks_nobody() -> AbstractContextManager[Any]:
    """A sealer creates a file in an hour that readers are about to read from its copy."""
    return mock.patch.object(WatermarkAdvance, "permit", mock.AsyncMock())


def watermark_moves_at_once() -> AbstractContextManager[Any]:
    """A claim is not left to ripen: a file whose sealer has not read it may be on its way."""
    return with_times(claim_age=timedelta(0))


def slow_reading_of_the_clock_counts() -> AbstractContextManager[Any]:
    """A clock may be late by the time that a process slept while it read it."""
    return with_times(request=timedelta(days=1))


def watermark_moves_without_if_match() -> AbstractContextManager[Any]:
    """A claim that a sealer has taken back is acted upon."""
    step = WatermarkAdvance.step

    async def blind(self: WatermarkAdvance, claim: Claim, done: datetime) -> timedelta | None:
        _, etag = await read_watermark(self._store, self._folders)
        return await step(self, replace(claim, etag=etag), done)

    return mock.patch.object(WatermarkAdvance, "step", blind)


OF_TABLES: tuple[Mutant, ...] = (
    names_by_content,
    journal_deleted_first,
    loser_takes_the_next_number,
    rewrite_without_if_match,
    no_note_of_the_erased,
    tombstone_consumed_at_once,
    copy_does_not_follow,
    watermark_moves_first,
    copy_takes_a_file_twice,
    late_row_asks_nobody,
    watermark_moves_at_once,
    slow_reading_of_the_clock_counts,
    watermark_moves_without_if_match,
)
