"""Mutants that misread an answer of the store: each lacks one rule for what an answer proves."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from unittest import mock

from lake import layout
from lake.commit.records import Commit, Committer
from lake.errors import IdempotencyConflict, Mismatch
from lake.retention.sweep_report import SweepReport
from lake.retention.sweeper import Sweeper
from lake.seal.hours import HoursWithFiles, hours_with_files
from lake.store.accepted_time import accept_time
from lake.store.clock import StoreClock
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.tables import Table
from tests.lake.simulation.mutants_of_images import Mutant
from tests.lake.simulation.store import SimulatedStore


def conflict_is_anothers_image() -> AbstractContextManager[Any]:
    """A writer whose If-Match fails takes the name for another's, and deletes its objects."""
    overwrite = Committer._overwrite

    async def hasty(self: Committer, *arguments: Any) -> Commit:
        try:
            return await overwrite(self, *arguments)
        except Mismatch as error:
            raise IdempotencyConflict("taken") from error

    return mock.patch.object(Committer, "_overwrite", hasty)


def part_is_the_whole() -> AbstractContextManager[Any]:
    """The store's client returns the part of an object that arrived before the network cut it."""

    def received(self: SimulatedStore, part: bytes) -> bytes:
        del self
        return part

    return mock.patch.object(SimulatedStore, "received_part", received)


class _Never(Exception):
    """An error that nothing raises."""


def full_store_is_not_swept() -> AbstractContextManager[Any]:
    """A sweeper without room for a note of its time deletes nothing."""
    return mock.patch("lake.store.accepted_time.StoreFull", _Never)


def denied_folder_ends_the_sweep() -> AbstractContextManager[Any]:
    """A folder that can't be listed ends a sweep."""
    return mock.patch("lake.retention.sweeper.Unavailable", _Never)


def denied_window_ends_the_sweep() -> AbstractContextManager[Any]:
    """A window of a journal that can't be listed ends the sweep of the journal."""

    async def sweep(self: Sweeper, folder: str, report: SweepReport) -> int:
        objects = await self._store.objects(folder)
        return await self._delete([stored.key for stored in objects], report)

    return mock.patch.object(Sweeper, "_sweep_window", sweep)


async def _segments_of(store: ObjectStore, hour: datetime, table: Table) -> list[Stored]:
    return await store.objects(layout.hour_prefix(hour, table.folders))


def unlisted_hour_ends_sealing() -> AbstractContextManager[Any]:
    """An hour whose segments can't be listed ends each pass of a sealer."""
    return mock.patch("lake.seal.sealer.segments_of", _segments_of)


def unlisted_hour_ends_compaction() -> AbstractContextManager[Any]:
    """An hour with unsealed windows whose segments can't be listed ends each compaction."""
    return mock.patch("lake.seal.hours.segments_of", _segments_of)


def unlisted_day_ends_compaction() -> AbstractContextManager[Any]:
    """A day that can't be listed ends each compaction."""

    async def hours(store: ObjectStore, table: Table) -> HoursWithFiles:
        found = await hours_with_files(store, table)
        if found.errors:
            raise found.errors[0]
        return found

    return mock.patch("lake.seal.compaction.hours_with_files", hours)


OF_SHORTAGE: tuple[Mutant, ...] = (full_store_is_not_swept,)
OF_DENIALS: tuple[Mutant, ...] = (denied_folder_ends_the_sweep, denied_window_ends_the_sweep)
OF_LISTS: tuple[Mutant, ...] = (
    unlisted_hour_ends_sealing,
    unlisted_hour_ends_compaction,
    unlisted_day_ends_compaction,
)


def sweeper_needs_a_note() -> AbstractContextManager[Any]:
    """A sweeper that lacks the right to note its time deletes nothing."""
    return mock.patch("lake.store.accepted_time.StoreDenied", _Never)


def sweeper_forgets_its_time() -> AbstractContextManager[Any]:
    """A sweeper that can't note its time compares with the last time that was noted."""

    async def accept(store: ObjectStore, clock: StoreClock, **options: Any) -> datetime:
        return await accept_time(store, clock, **{**options, "known": None})

    return mock.patch("lake.retention.sweeper.accept_time", accept)


OF_RIGHTS: tuple[Mutant, ...] = (sweeper_needs_a_note, sweeper_forgets_its_time)
OF_ANSWERS: tuple[Mutant, ...] = (
    conflict_is_anothers_image,
    part_is_the_whole,
)
