"""Mutants that lack one rule of journal, chain, compaction or watermark."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from lake import layout
from lake.commit.records import Attempt
from lake.errors import AlreadyExists
from lake.rebuild.in_place import _TableRebuilder
from lake.seal.compacted import Hour
from lake.seal.compaction import Compactor
from lake.seal.journal_batches import Batch
from lake.seal.pass_report import Sealed
from lake.seal.sealer import Sealer
from lake.seal.segments import Chain
from lake.seal.watermark import read_watermark
from lake.seal.watermark_advance import Claim, WatermarkAdvance
from lake.store.object_meta import Stored
from lake.tables import rows
from lake.tables.rows import without_rows
from tests.lake.simulation.mutants_of_images import Mutant, with_times


def names_by_content() -> AbstractContextManager[Any]:
    """Objects are named by content hash, not by attempt: a clean-up deletes another's objects."""

    def key(self: Attempt, name: str, extension: str) -> str:
        return layout.object_key(self.tenant, self.image_id, name, "same", extension)

    return mock.patch.object(Attempt, "key", key)


def journal_deleted_first() -> AbstractContextManager[Any]:
    """A sealer deletes journal objects before the segment exists."""

    extend = Sealer._extend

    async def hasty(
        self: Sealer, window_start: datetime, chain: Chain | None, batch: Batch, sealed: Sealed
    ) -> Chain | None:
        await self._pending.consume(batch)
        return await extend(self, window_start, chain, batch, sealed)

    return mock.patch.object(Sealer, "_extend", hasty)


def loser_takes_the_next_number() -> AbstractContextManager[Any]:
    """A sealer that lost a segment takes the next number without reading the winner's segment."""

    create = Sealer._create

    async def blind(self: Sealer, chain: Chain, *args: Any) -> Stored:
        while True:
            try:
                return await create(self, chain, *args)
            except AlreadyExists:
                chain = chain.extended(Stored(chain.next_key, 0, "", self._clock.now()))

    return mock.patch.object(Sealer, "_create", blind)


def rewrite_without_if_match() -> AbstractContextManager[Any]:
    """A sealer overwrites segments without If-Match, whatever they hold by now."""

    async def rewrite(self: Sealer, file: Stored, dead: frozenset[str], batch: Batch) -> None:
        del batch
        data, _ = await self._store.get(file.key)
        await self._store.put(file.key, without_rows(file.key, data, dead))

    return mock.patch.object(Sealer, "_rewrite", rewrite)


def no_note_of_the_erased() -> AbstractContextManager[Any]:
    """Footers of segments do not name the ids that were erased from the window."""

    footer = rows.chain_footer
    return mock.patch.object(rows, "chain_footer", return_value=footer(()))


def tombstone_consumed_at_once() -> AbstractContextManager[Any]:
    """The first pass consumes a tombstone, and no sealer deletes what a paused writer leaves."""
    return with_times(tombstone_age=timedelta(seconds=-60))


def copy_does_not_follow() -> AbstractContextManager[Any]:
    """A sealer changes the chain of a compacted hour and leaves the copy as it is."""
    return mock.patch.object(Compactor, "follow", mock.AsyncMock())


def watermark_moves_first() -> AbstractContextManager[Any]:
    """The watermark sends readers to copies that no compactor makes."""

    async def nothing(self: Compactor, start: datetime, *_: Any, **__: Any) -> None:
        del self, start

    return mock.patch.object(Compactor, "_bring", nothing)


def copy_takes_a_file_twice() -> AbstractContextManager[Any]:
    """A copy holds the rows of a segment twice."""
    sources = Hour.sources

    def greedy(self: Hour, cut: datetime) -> list[Stored]:
        found = sources(self, cut)
        return found + found[:1]

    return mock.patch.object(Hour, "sources", greedy)


def swept_segment_is_lost() -> AbstractContextManager[Any]:
    """A compactor takes a segment that a sweeper deleted for one that is missing."""
    return mock.patch.object(Compactor, "_is_swept", return_value=False)


def late_row_asks_nobody() -> AbstractContextManager[Any]:
    """A sealer creates a segment without a permit, in an hour whose copy readers begin to use."""
    return mock.patch.object(WatermarkAdvance, "permit", mock.AsyncMock())


def watermark_moves_at_once() -> AbstractContextManager[Any]:
    """A claim moves the watermark at once: a sealer that has not read it may still send a file."""
    return with_times(claim_age=timedelta(0))


def slow_reading_of_the_clock_counts() -> AbstractContextManager[Any]:
    """A clock may be late by the time that its process slept during the reading."""
    return with_times(request=timedelta(days=1), machine_ahead=timedelta(days=1))


def watermark_moves_without_if_match() -> AbstractContextManager[Any]:
    """A compactor acts upon a claim that a sealer has taken back."""
    step = WatermarkAdvance.step

    async def blind(self: WatermarkAdvance, claim: Claim, done: datetime) -> timedelta | None:
        _, etag = await read_watermark(self._store, self._folders)
        return await step(self, replace(claim, etag=etag), done)

    return mock.patch.object(WatermarkAdvance, "step", blind)


def rebuild_names_every_erased_image() -> AbstractContextManager[Any]:
    """A rebuild names all erased images in each file, also those whose row a later file has."""
    clean = _TableRebuilder._clean_file

    async def clean_file(self: _TableRebuilder, number: int, turn: Any) -> str | None:
        def encoded(rows: Any, erased: frozenset[str]) -> bytes:
            return _TableRebuilder._encoded(self, rows, erased | turn.erased)

        with mock.patch.object(self, "_encoded", encoded):
            return await clean(self, number, turn)

    return mock.patch.object(_TableRebuilder, "_clean_file", clean_file)


def only_whole_minutes_are_windows() -> AbstractContextManager[Any]:
    """Rows of windows that are shorter than a minute stay in the journal."""
    windows_of = layout.windows_of

    def of_minutes(names: Iterable[str]) -> list[datetime]:
        return [start for start in windows_of(names) if not start.second]

    return mock.patch.object(layout, "windows_of", of_minutes)


OF_TABLES: tuple[Mutant, ...] = (
    only_whole_minutes_are_windows,
    rebuild_names_every_erased_image,
    names_by_content,
    journal_deleted_first,
    loser_takes_the_next_number,
    rewrite_without_if_match,
    no_note_of_the_erased,
    tombstone_consumed_at_once,
    copy_does_not_follow,
    watermark_moves_first,
    copy_takes_a_file_twice,
    swept_segment_is_lost,
    late_row_asks_nobody,
    watermark_moves_at_once,
    slow_reading_of_the_clock_counts,
    watermark_moves_without_if_match,
)
