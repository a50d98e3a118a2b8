"""Mutants of listings: each lacks one rule of a reader."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any
from unittest import mock

from lake.read.hours import Hours
from lake.read.listing import Listing
from lake.read.tenant_index import Holdings, TenantIndex
from lake.read.waiting_rows import WaitingRows
from lake.read.window_journal import WindowJournal
from lake.seal.segments import complete_chain
from lake.store.object_meta import Stored
from lake.tables.table_file import TableFile
from tests.lake.simulation.mutants_of_images import Mutant


def listing_ignores_footers() -> AbstractContextManager[Any]:
    """A reader shows a row that a replay journaled after its erasure."""
    return mock.patch.object(TableFile, "erased", frozenset())


def listing_shows_rows_that_move() -> AbstractContextManager[Any]:
    """A reader shows the row of a segment and the journal's row of the same image."""
    return mock.patch("lake.read.window_rows.without", lambda images, _: images)


def listing_knows_copies_only() -> AbstractContextManager[Any]:
    """A reader shows the sealed rows of hours with a copy, and of no other hour."""
    return mock.patch.object(Hours, "_of_segments", mock.AsyncMock(return_value=[]))


def index_forgets_versions() -> AbstractContextManager[Any]:
    """A reader takes the windows of a copy from an earlier version of the copy."""
    honest = TenantIndex.holdings

    async def holdings(self: TenantIndex, file: Stored) -> Holdings | None:
        return await honest(self, replace(file, etag=first[self].setdefault(file.key, file.etag)))

    first: defaultdict[TenantIndex, dict[str, str]] = defaultdict(dict)
    return mock.patch.object(TenantIndex, "holdings", holdings)


def chain_is_listed_before_the_journal() -> AbstractContextManager[Any]:
    """A reader uses a listing of the segments that is older than that of the journal."""

    async def listed(self: Listing, _: object, hour: Any) -> None:
        await self._hours.segments(hour)

    return mock.patch.object(Listing, "_list", listed)


def journal_is_listed_once() -> AbstractContextManager[Any]:
    """A reader believes that the journal of a window which it knows has not changed."""
    honest = WaitingRows._journal

    async def journal(self: WaitingRows, window_start: datetime) -> WindowJournal:
        known = self._slots.get(window_start)
        if known is not None and known.journal.objects:
            return known.journal
        return await honest(self, window_start)

    return mock.patch.object(WaitingRows, "_journal", journal)


class _Never(Exception):
    """An error that nothing raises."""


def damaged_segment_ends_the_listing() -> AbstractContextManager[Any]:
    """A reader fails where a segment is cut or lost."""
    return mock.patch("lake.read.listing.UnreadableObject", _Never)


def lost_segment_ends_the_listing() -> AbstractContextManager[Any]:
    """A reader goes on where a segment is cut, and fails where one is lost."""

    async def files(
        self: Listing, window_start: datetime, listed: Sequence[Stored]
    ) -> tuple[Sequence[Stored], bool]:
        return (await complete_chain(self._store, window_start, listed)).files, True

    return mock.patch.object(Listing, "_files", files)


def copies_that_are_there_are_all() -> AbstractContextManager[Any]:
    """A reader takes the copies that it finds for all copies of their hour."""
    return mock.patch("lake.read.tenant_index.cuts_of", return_value=())


OF_LOSSES: tuple[Mutant, ...] = (copies_that_are_there_are_all,)
OF_LISTINGS: tuple[Mutant, ...] = (
    listing_ignores_footers,
    listing_shows_rows_that_move,
    chain_is_listed_before_the_journal,
    journal_is_listed_once,
)
OF_COPIES: tuple[Mutant, ...] = (
    listing_knows_copies_only,
    index_forgets_versions,
)
OF_DAMAGED: tuple[Mutant, ...] = (
    damaged_segment_ends_the_listing,
    lost_segment_ends_the_listing,
)
