"""Compaction: a copy of each closed hour in few large files, which are quick to read.

The chains remain the authoritative rows. The footer of a compacted file names the segments that
it was made from, and the file is rewritten when they change (a late row, an erasure). Readers read
each hour from one side: hours before the watermark from the compacted files, later hours from the
chains. So a reader sees each row exactly once, also with an older watermark.

  lake/compacted/<table>/dt=…/hour=…/<window>.parquet    windows from this one to the next file's
  lake/compacted/<table>.json                          the watermark: all hours before it are done

Any number of compactors may run these steps for one hour at once:
  1. list the hour's compacted files, then its chains
  2. create the first file, whose name is the hour itself, create-only. It fixes the first windows
     (cuts) of the other files, for as long as the hour exists
  3. if the segments of a compacted file differ from those in its footer, rewrite it, If-Match
     the version of step 1. A failed condition means that another compactor was faster. Of a
     segment that does not parse, the present copy's rows are kept. A copy without its rows names
     it in the footer, and each later pass reads it again
  4. repeat from 1 until there is nothing to do
A sealer that changes a chain in an hour that may be compacted updates the copy before it deletes
from the journal. So the later of sealer and compactor sees the change of the earlier one.

How the watermark advances without the loss of late rows: lake/seal/watermark_advance.py.
"""

import asyncio
import mmap
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cachetools import FIFOCache

from lake import layout
from lake.errors import LakeError, UnreadableObject
from lake.logs import logger
from lake.seal.compacted import Footer, Hour, list_hour, read_footer, sources_of
from lake.seal.compaction_report import CompactionReport
from lake.seal.copy_writer import Copied, CopyWriter
from lake.seal.hours import hours_with_files, unsealed_windows
from lake.seal.sizes import SIZES, SealerSizes
from lake.seal.watermark_advance import Claim, WatermarkAdvance
from lake.store.accepted_time import check_time
from lake.store.clock import StoreClock
from lake.store.decision import compare_and_swap
from lake.store.idle_executor import IdleExecutor
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.tables import IMAGE_TABLE, Table

log = logger(__name__)

# Largest number of cached footers, by file and version: ten files an hour for a week.
_MAX_FOOTERS = 2000


class Compactor:
    """Compacts one table."""

    def __init__(
        self,
        store: ObjectStore,
        clock: StoreClock,
        *,
        grace: timedelta,
        table: Table = IMAGE_TABLE,
        sizes: SealerSizes = SIZES,
    ) -> None:
        self._file_bytes = sizes.compacted_bytes
        self._store = store
        self._clock = clock
        self._times = clock.times
        self._grace = grace
        self._table = table
        self.watermark_advance = WatermarkAdvance(store, clock, table.folders)
        """updates the table's watermark"""
        self._writer = CopyWriter(store, IdleExecutor(), table)
        self._footers: FIFOCache[tuple[str, str], Footer] = FIFOCache(_MAX_FOOTERS)
        self._following = asyncio.Lock()
        self._passed: datetime | None = None
        self._again_at = datetime.min.replace(tzinfo=UTC)

    async def run_pass(
        self, may_seal: Callable[[datetime], bool] = lambda _: True
    ) -> CompactionReport:
        """Compact every closed hour, oldest first, then advance the watermark.

        Does nothing if no hour was closed since the last complete pass. A failed hour is logged,
        and the watermark stays before it, unless it is behind the watermark already. The same
        applies to an hour that can't be listed, and to one with an unsealed window, unless
        `may_seal` says that its rows can't be sealed soon: their sealer updates the copy later. A
        pass starts no further hour after a minute, so that fresh rows are sealed in between; the
        next call continues. Raises StoreUnavailable if no day can be listed.
        """
        await self._clock.fresh()
        end = self.closed()
        report = CompactionReport()
        if self._passed == end and self._clock.now() < self._again_at:
            return report
        claim = await self.watermark_advance.begin()
        listed = await hours_with_files(self._store, self._table)
        # Hours of a day that can't be listed are tried, too: each fails, or has expired.
        hours = sorted(hour for hour in listed.hours | listed.unlisted if hour < end)
        failed = await self._waiting(end, may_seal, report)
        deadline = asyncio.get_running_loop().time() + self._times.compaction_pass.total_seconds()
        for hour in hours:
            report.left = asyncio.get_running_loop().time() > deadline
            if report.left:
                failed.add(hour)
                break
            # The rows of a waiting hour arrive together later, so compact it then.
            if hour not in failed and not await self._try(hour, report):
                failed.add(hour)
        wait = self._times.compaction_retry if failed else self._times.compaction_round
        holding = failed if report.left else _unread(failed, claim)
        if hours and (step := await self._advance(claim, min([*holding, end]), report)) is not None:
            wait = min(wait, step)
        self._passed = end
        self._again_at = self._clock.now() + (timedelta(0) if report.left else wait)
        return report

    async def _advance(
        self, claim: Claim, done: datetime, report: CompactionReport
    ) -> timedelta | None:
        """Advance the watermark or claim hours; a watermark that can't be written is counted."""
        try:
            return await self.watermark_advance.step(claim, done)
        except LakeError as error:
            log.warning("watermark not advanced", table=self._table.name, error=error)
            report.failed += 1
            return self._times.compaction_retry

    async def follow(self, window_start: datetime) -> None:
        """Update the compacted copy of a window's hour, if it has one or readers expect one.

        A sealer calls this before it deletes journal objects: until then, a later pass repeats
        the update. Raises LakeError, also if a segment of the window did not parse: the copy may
        have an erased row of it.
        """
        hour = layout.hour_of(window_start)
        async with self._following:
            begin = await self.watermark_advance.is_read(hour)
            await self._bring(hour, CompactionReport(), begin=begin, followed=window_start)

    def closed(self) -> datetime:
        """Start of the first hour that is not closed."""
        closed_after = max(self._clock.settings.window + self._grace, self._times.hour_settled)
        return layout.hour_of(self._clock.now() - closed_after)

    async def _waiting(
        self, end: datetime, may_seal: Callable[[datetime], bool], report: CompactionReport
    ) -> set[datetime]:
        """List the closed hours with windows that may be sealed soon; names other windows.

        Includes hours with windows that can't be listed, which have failed.
        """
        unsealed = await unsealed_windows(self._store, self._table)
        waiting = {hour for hour in unsealed.unlisted if hour < end}
        for hour in sorted(waiting):
            self._failed(hour, report)
        for hour, windows in unsealed.windows.items():
            if hour >= end:
                continue
            if any(may_seal(window_start) for window_start in windows):
                waiting.add(hour)
            else:
                report.incomplete += 1
                report.incomplete_hours += (f"{self._table.name} {layout.window_name(hour)}",)
                names = [layout.window_name(window_start) for window_start in sorted(windows)]
                log.warning(
                    "hour compacted without windows that can't be sealed",
                    hour=hour,
                    table=self._table.name,
                    windows=names,
                )
        return waiting

    async def _try(self, start: datetime, report: CompactionReport) -> bool:
        report.hours += 1
        try:
            await self._bring(start, report)
        except Exception as error:  # one failed hour must not stop the others
            code = getattr(error, "code", type(error).__name__)
            log.exception("hour not compacted", hour=start, table=self._table.name, code=code)
            self._failed(start, report)
            return False
        return True

    def _failed(self, hour: datetime, report: CompactionReport) -> None:
        report.failed += 1
        report.failed_hours += (f"{self._table.name} {layout.window_name(hour)}",)

    async def _bring(
        self,
        start: datetime,
        report: CompactionReport,
        *,
        begin: bool = True,
        followed: datetime | None = None,
    ) -> None:
        """List the hour and write files that differ, until a listing finds nothing to do.

        The last listing is needed: a sealer of a late row did not update the copy if the row came
        before the first compacted file. `begin`: also compact an hour without a compacted file.
        """

        async def step() -> bool | None:
            if self._clock.has_expired(start + layout.HOUR):
                # A wrong clock must not move the watermark past hours without a copy.
                await check_time(self._store, self._clock)
                return True  # the sweeper deletes the hour's files now
            return None if await self._hour(start, report, followed, begin=begin) else True

        await compare_and_swap(step, f"hour {start}")

    async def _hour(
        self, start: datetime, report: CompactionReport, followed: datetime | None, *, begin: bool
    ) -> bool:
        """List the hour and write files that differ; returns True if a file was written."""
        hour = await list_hour(self._store, start, self._table)
        if not hour.compacted and not (begin and hour.chains):
            return False
        hour.cuts = await self._cuts(hour)
        written = [await self._file(hour, cut, report) for cut in hour.cuts]
        if hour.unread and not any(written):
            report.incomplete += 1
            report.incomplete_hours += (f"{self._table.name} {layout.window_name(start)}",)
            log.warning(
                "hour compacted without segments that do not parse",
                hour=start,
                table=self._table.name,
                segments=sorted(hour.unread),
            )
            _check_read(hour, followed)
        return any(written)

    async def _cuts(self, hour: Hour) -> tuple[datetime, ...]:
        """First windows of an hour's compacted files, from the first file's footer or planned."""
        # Every file of an hour has the same cuts; the first one was there before the others.
        for start in sorted(hour.compacted):
            if footer := await self._readable_footer(hour.compacted[start]):
                return footer.cuts
        if hour.compacted.keys() - {hour.start}:
            return tuple(sorted({hour.start, *hour.compacted}))
        return hour.planned(self._file_bytes)

    async def _file(self, hour: Hour, cut: datetime, report: CompactionReport) -> bool:
        sources = hour.sources(cut)
        stored = hour.compacted.get(cut)
        present = Copied(stored, await self._readable_footer(stored) if stored else None)
        if stored is not None and present.footer is None and not sources:
            raise UnreadableObject(f"{stored.key} does not parse, and it has no segments")
        if present.footer is not None and await self._is_current(present.footer, sources, hour):
            return False
        with tempfile.TemporaryFile(prefix="pixlake-compact-") as file:
            rows = await self._writer.write(file, sources, hour.cuts, present)
            body = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            key = layout.compacted_key(cut, self._table.folders)
            if stored is None:
                await self._store.create(key, body)
            else:
                await self._store.replace(key, body, stored.etag)
        report.rows += rows
        report.files += 1
        report.bytes += len(body)
        return True

    async def _is_current(self, footer: Footer, sources: list[Stored], hour: Hour) -> bool:
        """True if a copy needs no change; raises UnreadableObject if a segment of it is missing."""
        named = footer.sources
        if named == sources_of(sources):
            hour.unread.update(footer.unreadable, footer.kept)
            return await self._writer.still_unreadable(footer, sources)
        lost = {name for name, _ in named} - {name for name, _ in sources_of(sources)}
        if unexpired := sorted(name for name in lost if not self._is_swept(name)):
            # This copy may be the only one of their rows.
            raise UnreadableObject(f"segments are missing: {', '.join(unexpired)}")
        return not sources  # the sweeper deletes the copy, too

    def _is_swept(self, name: str) -> bool:
        """True for a segment that a sweeper may have deleted.

        Usually the whole hour expires before its first segment is deleted. A longer retention does
        not apply to windows that had expired before, but to later windows of their hour.
        """
        parsed = layout.parse_chain_name(name)
        return parsed is not None and self._clock.has_expired(parsed[0])

    async def _readable_footer(self, stored: Stored) -> Footer | None:
        """Read the footer of a copy; None for a copy that does not parse and is written anew."""
        try:
            return await self._footer(stored)
        except UnreadableObject as error:
            log.warning("compacted file does not parse", key=stored.key, error=error)
            return None

    async def _footer(self, stored: Stored) -> Footer:
        version = stored.key, stored.etag
        if version not in self._footers:
            self._footers[version] = await read_footer(self._store, stored)
        return self._footers[version]


def _unread(failed: set[datetime], claim: Claim) -> set[datetime]:
    """Failed hours whose copies are not read yet; hours behind the watermark hold nothing back."""
    return {hour for hour in failed if hour >= claim.watermark.complete_before}


def _check_read(hour: Hour, followed: datetime | None) -> None:
    """Raise UnreadableObject if a segment of a window did not parse when its copy was made."""
    for name in sorted(hour.unread):
        parsed = layout.parse_chain_name(name)
        if followed is not None and parsed is not None and parsed[0] == followed:
            raise UnreadableObject(f"segment {name} does not parse", value=name)
