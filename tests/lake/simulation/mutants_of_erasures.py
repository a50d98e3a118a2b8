"""Mutants that lack one rule of erasures by a condition, or of a shadow lake."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.compute as pc

from lake.commit.erasure import Eraser
from lake.commit.journal import Journal
from lake.errors import StoreFull
from lake.read.unsealed_rows import WaitingImages, waiting_images
from lake.read.views import Views
from lake.rebuild.cutover import _TableCutover
from lake.seal.shadow_rows import ShadowRows
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.schema import Tombstone
from lake.tables.tables import IMAGE_TABLE
from pixlake_server.cli.erasing import Name, Unfinished
from tests.lake.simulation.mutants_of_images import Mutant, with_times

_SELECT = "SELECT DISTINCT tenant, image_id FROM images WHERE "


def condition_reads_no_journal() -> AbstractContextManager[Any]:
    """A condition is asked of sealed rows only."""
    nothing = WaitingImages(IMAGE_TABLE.columns.empty_table(), {})
    empty = mock.AsyncMock(return_value=nothing)
    return mock.patch("pixlake_server.cli.erasing.waiting_images", empty)


def condition_reads_the_files_first() -> AbstractContextManager[Any]:
    """A condition is asked of the files, then of the journal, and misses a row that moves."""

    async def select(
        store: ObjectStore, where: str, open_views: Callable[[pa.Table], Views]
    ) -> tuple[list[Name], Unfinished]:
        found = open_views(IMAGE_TABLE.columns.empty_table()).query(f"{_SELECT}{where}")
        rows = (await waiting_images(store)).rows
        waiting = rows.filter(pc.equal(rows["bytes"], 2)).select(["tenant", "image_id"])
        named = [*found.to_pylist(), *waiting.to_pylist()]
        return sorted({(row["tenant"], row["image_id"]) for row in named}), {}

    return mock.patch("pixlake_server.cli.erasing.select", select)


def expired_row_hides_a_new_one() -> AbstractContextManager[Any]:
    """An unsealed row is left out of a view if any file has a row of its id."""

    def unsealed(connection: Any, waiting: pa.Table, sides: list[str], none: str) -> str:
        connection.register("images_waiting", waiting)
        sealed = " UNION ALL BY NAME ".join([f"SELECT * FROM {none}", *sides])
        return (
            "SELECT *, CAST(window_start AS DATE) AS dt, CAST(hour(window_start) AS INTEGER) "
            f"AS hour FROM images_waiting WHERE image_id NOT IN (SELECT image_id FROM ({sealed}))"
        )

    return mock.patch("lake.read.views._unsealed", unsealed)


def pass_names_no_window() -> AbstractContextManager[Any]:
    """A command does not learn which windows were not sealed, or keep an undeleted object."""
    return mock.patch("lake.seal.todo._names", return_value=())


OF_CONDITIONS: tuple[Mutant, ...] = (
    condition_reads_no_journal,
    condition_reads_the_files_first,
    expired_row_hides_a_new_one,
    pass_names_no_window,
)


def erasure_spares_the_shadow_lake() -> AbstractContextManager[Any]:
    """A sealer removes erased rows from segments and copies only."""
    return mock.patch.object(ShadowRows, "erase", mock.AsyncMock())


def builder_believes_an_old_record() -> AbstractContextManager[Any]:
    """A builder that slept writes the rows of the records that it read before."""
    return with_times(permit=timedelta(days=1))


def cutover_names_all_erased_images_at_once() -> AbstractContextManager[Any]:
    """A cutover names an erased image in a file while another file has its row."""
    return mock.patch.object(_TableCutover, "_lost", lambda *given: given[-1].erased)


def cutover_reads_a_later_segment() -> AbstractContextManager[Any]:
    """A cutover reads a segment after the shadow lake, though the segment has changed meanwhile."""

    async def read(self: _TableCutover, listed: Stored) -> tuple[bytes, Stored]:
        return await self._store.get(listed.key)

    return mock.patch.object(_TableCutover, "_read", read)


OF_SHADOWS: tuple[Mutant, ...] = (
    erasure_spares_the_shadow_lake,
    builder_believes_an_old_record,
    cutover_names_all_erased_images_at_once,
    cutover_reads_a_later_segment,
)


def erasure_needs_no_tombstone() -> AbstractContextManager[Any]:
    """An erasure goes on if the journal has no room for its tombstone."""
    append = Journal.append_tombstone

    async def hopeful(self: Journal, tombstone: Tombstone) -> None:
        with suppress(StoreFull):
            await append(self, tombstone)

    return mock.patch.object(Journal, "append_tombstone", hopeful)


def erasure_leaves_the_rest_to_sealers() -> AbstractContextManager[Any]:
    """An erasure is acknowledged with its tombstone, though the store has no room to go on."""
    finish = Eraser.finish

    async def hopeful(self: Eraser, tombstone: Tombstone) -> None:
        with suppress(StoreFull):
            await finish(self, tombstone)

    return mock.patch.object(Eraser, "finish", hopeful)


OF_FULL_STORES: tuple[Mutant, ...] = (
    erasure_needs_no_tombstone,
    erasure_leaves_the_rest_to_sealers,
)
