"""Mutants that let one spoiled object stop the work on others, or let things stay for ever."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from unittest import mock

import pyarrow as pa

from lake import layout
from lake.commit.damaged_records import DamagedRecords
from lake.errors import KeyMissing
from lake.retention.sweeper import Sweeper
from lake.seal.compaction import Compactor
from lake.seal.copy_writer import Copied, CopyWriter
from lake.seal.journal_batches import Batch, JournalBatches
from lake.seal.sealer import Sealer
from lake.seal.watermark import Watermark, parse_watermark
from lake.seal.watermark_advance import WatermarkAdvance
from lake.seal.window_tries import WindowTries
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.schema import Tombstone
from tests.lake.simulation.mutants_of_images import Mutant


def strange_name_ends_the_pass() -> AbstractContextManager[Any]:
    """A folder of the journal that is not a window ends each pass."""

    def parse(names: Iterable[str]) -> list[datetime]:
        return [layout.parse_window(name) for name in names]

    return mock.patch.object(layout, "windows_of", parse)


def object_under_hold_stops_its_window() -> AbstractContextManager[Any]:
    """An erasure that fails ends the sealing of its window."""

    async def finish(self: Sealer, batch: Batch) -> int:
        for tombstone in batch.tombstones:
            await self._eraser.finish(tombstone)
        return 0

    return mock.patch.object(Sealer, "_finish", finish)


def cut_watermark_stops_sealing() -> AbstractContextManager[Any]:
    """A watermark that does not parse ends each step that reads it."""

    async def read(store: ObjectStore, of: layout.Folders) -> tuple[Watermark, str | None]:
        key = layout.watermark_key(of)
        try:
            data, stored = await store.get(key)
        except KeyMissing:
            return Watermark(), None
        return parse_watermark(key, data), stored.etag

    return mock.patch("lake.seal.watermark_advance.read_watermark", read)


def unsealed_window_holds_its_hour() -> AbstractContextManager[Any]:
    """Compaction and watermark wait for each window with objects in the journal."""
    return mock.patch.object(WindowTries, "may_seal", return_value=True)


def stuck_window_withdraws_claims() -> AbstractContextManager[Any]:
    """A window that can't be sealed withdraws the claim on its hour at each try."""
    return mock.patch.object(WindowTries, "is_stuck", return_value=False)


def undeleted_journal_object_stops_its_window() -> AbstractContextManager[Any]:
    """A journal object that can't be deleted ends the sealing of its window."""

    async def consume(self: JournalBatches, batch: Batch, *, erasures: bool = True) -> int:
        gone = [*batch.objects, *(batch.erasures if erasures else [])]
        await self._store.delete_many([stored.key for stored in gone])
        return 0

    return mock.patch.object(JournalBatches, "consume", consume)


OF_STUCK: tuple[Mutant, ...] = (
    unsealed_window_holds_its_hour,
    stuck_window_withdraws_claims,
    undeleted_journal_object_stops_its_window,
)


def damaged_record_forgets_its_row() -> AbstractContextManager[Any]:
    """A record that does not parse is overwritten, though its image has a row."""

    async def row(*_: object) -> None:
        return None

    return mock.patch.object(DamagedRecords, "_row", row)


def damaged_record_forgets_its_erasure() -> AbstractContextManager[Any]:
    """A record that does not parse is overwritten, though its image was erased."""

    async def erasures(*_: object) -> list[Tombstone]:
        return []

    return mock.patch.object(DamagedRecords, "_erasures", erasures)


def damaged_record_is_free_at_once() -> AbstractContextManager[Any]:
    """A record that does not parse is overwritten while its attempt may still write the row."""
    return mock.patch.object(DamagedRecords, "check_free")


OF_DAMAGE: tuple[Mutant, ...] = (
    damaged_record_forgets_its_row,
    damaged_record_forgets_its_erasure,
    damaged_record_is_free_at_once,
)


def unreadable_segment_holds_its_hour() -> AbstractContextManager[Any]:
    """A segment that does not parse ends the compaction of its hour."""

    async def read(self: CopyWriter, segment: Stored, found: Any, _: Copied) -> pa.Table:
        table, stored = await self._read(segment)
        found.segments.append(stored)
        return table

    return mock.patch.object(CopyWriter, "_rows_of", read)


def copy_loses_the_only_rows() -> AbstractContextManager[Any]:
    """A copy is written anew without the rows of a segment that does not parse any more."""
    return mock.patch.object(Copied, "has", return_value=False)


def left_out_segment_is_forgotten() -> AbstractContextManager[Any]:
    """A segment that a copy lacks is not read again."""
    return mock.patch.object(CopyWriter, "still_unreadable", mock.AsyncMock(return_value=True))


def hour_behind_the_watermark_holds_it() -> AbstractContextManager[Any]:
    """The watermark waits for hours whose copies are already read."""
    return mock.patch("lake.seal.compaction._unread", lambda failed, _: failed)


OF_ROT: tuple[Mutant, ...] = (
    unreadable_segment_holds_its_hour,
    copy_loses_the_only_rows,
    left_out_segment_is_forgotten,
    hour_behind_the_watermark_holds_it,
)


def hanging_windows_come_first() -> AbstractContextManager[Any]:
    """A pass begins with the newest windows, also if these took the whole time of the last one."""
    return mock.patch.object(WindowTries, "last_failure", return_value=0)


OF_HANGS: tuple[Mutant, ...] = (hanging_windows_come_first,)


def cut_copy_holds_its_hour() -> AbstractContextManager[Any]:
    """A copy that does not parse ends the compaction of its hour."""
    return mock.patch.object(Compactor, "_readable_footer", Compactor._footer)


OF_CUT_COPIES: tuple[Mutant, ...] = (cut_copy_holds_its_hour,)

OF_SPOILS: tuple[Mutant, ...] = (
    strange_name_ends_the_pass,
    object_under_hold_stops_its_window,
    cut_watermark_stops_sealing,
)


def expired_segments_stay() -> AbstractContextManager[Any]:
    """A sweeper leaves the files of the lake."""
    return mock.patch.object(Sweeper, "_sweep_lake", mock.AsyncMock())


def expired_rejections_stay() -> AbstractContextManager[Any]:
    """A sweeper leaves the records of rejections."""
    return mock.patch.object(Sweeper, "_sweep_rejections", mock.AsyncMock())


def orphans_stay() -> AbstractContextManager[Any]:
    """A sweeper leaves objects that no record names."""
    return mock.patch.object(Sweeper, "_delete_old", mock.AsyncMock(return_value=0))


def watermark_stands() -> AbstractContextManager[Any]:
    """A compactor copies hours, and never moves the watermark."""
    return mock.patch.object(WatermarkAdvance, "step", mock.AsyncMock(return_value=None))


OF_LIVENESS: tuple[Mutant, ...] = (
    expired_segments_stay,
    expired_rejections_stay,
    orphans_stay,
    watermark_stands,
)
