"""Compaction: closed hours as few large files, a copy that is quick to read.

The chains stay, and stay the truth: a compacted file is made of them, says so in its footer, and
is made anew where they changed (a late row, an erasure). Readers take each hour from one side:
before the watermark from the compacted files, from there on from the chains. So no row is ever
seen twice, or not at all, and any older watermark is right, too.

  lake/compacted/<table>/dt=…/hour=…/<home>.parquet    homes from this one to the next file's
  lake/compacted/<table>.json                          the watermark: all hours before it are done

One hour, by any number of compactors at once:
  1. list its compacted files, then its chains
  2. the first file, named by the hour itself, fixes where the others begin: it is created first,
     create-only, and keeps its cuts for good
  3. where the chain files of a compacted file are not those in its footer: write it anew, If-Match
     what was listed in 1. Lost: somebody newer was here
  4. again from 1, until there is nothing to do
A sealer that changes a chain of an hour that may have been compacted lets the copy follow before
it deletes from the journal. So whichever of the two comes second sees what the other one did.

How the watermark moves such that no late row is missed: lake/closing.py.
"""

import asyncio
import logging
import mmap
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import IO

import pyarrow as pa

from lake import layout
from lake.aside import Aside
from lake.clock import StoreClock
from lake.closing import Closing
from lake.compacted import Footer, Hour, list_hour, read_footer, sources_of
from lake.errors import AlreadyExists, KeyMissing, Mismatch, StoreUnavailable, UnreadableObject
from lake.hours import hours_with_files, unsealed_hours
from lake.object_store import ObjectStore
from lake.row_groups import RowGroups
from lake.rows import decode_chain_file
from lake.stored import Stored
from lake.tables import IMAGE_TABLE, Table

log = logging.getLogger(__name__)

# Large enough for a scan to be one request after the other, small enough for one PUT and one task.
_TARGET_BYTES = 128 * 2**20
# Two passes of a sealer that has much to do: what is late by less costs no second file.
_SETTLED = timedelta(minutes=5)
_TRIES = 8
# After so long a pass begins no other hour.
_PASS_SECONDS = 60.0
# An hour that could not be compacted is looked at again after so long,
_RETRY = timedelta(minutes=1)
# and all of them after so long, for what somebody else left undone.
_LOOK_AGAIN = timedelta(hours=1)
# Footers that are remembered, by file and version: a week of ten files an hour.
_MAX_FOOTERS = 2000


@dataclass(slots=True)
class CompactionReport:
    """What a pass did: hours looked at, files and rows written, hours that failed.

    `left`: it had no time for all of them.
    """

    hours: int = 0
    files: int = 0
    rows: int = 0
    failed: int = 0
    left: bool = False

    def __add__(self, later: "CompactionReport") -> "CompactionReport":
        """Both passes as one."""
        return CompactionReport(
            self.hours + later.hours,
            self.files + later.files,
            self.rows + later.rows,
            self.failed + later.failed,
            later.left,
        )


class Compactor:
    """Compacts one table."""

    def __init__(
        self,
        store: ObjectStore,
        clock: StoreClock,
        *,
        grace: timedelta,
        table: Table = IMAGE_TABLE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._grace = grace
        self._table = table
        self.closing = Closing(store, clock, table.folders)
        """who decides which side of the watermark readers read"""
        self._aside = Aside()
        self._footers: dict[tuple[str, str], Footer] = {}
        self._following = asyncio.Lock()
        self._passed: datetime | None = None
        self._again_at = datetime.min.replace(tzinfo=UTC)

    async def run_pass(self) -> CompactionReport:
        """Every closed hour, oldest first; the watermark follows those that are done.

        Does nothing if no hour was closed since the last pass that came to its end. An hour that
        fails is logged and holds the watermark. Ends after a minute and the hour at work, for
        fresh rows to be sealed meanwhile; the next call goes on. Raises StoreUnavailable when the
        store can't be listed.
        """
        await self._clock.fresh()
        end = self.closed()
        report = CompactionReport()
        if self._passed == end and self._clock.now() < self._again_at:
            return report
        claim = await self.closing.begin()
        hours = [hour for hour in await hours_with_files(self._store, self._table) if hour < end]
        unsealed = await unsealed_hours(self._store, self._table)
        failed = [hour for hour in unsealed if hour < end]
        deadline = asyncio.get_running_loop().time() + _PASS_SECONDS
        for hour in hours:
            report.left = asyncio.get_running_loop().time() > deadline
            # The rows of an unsealed one will come all at once.
            if report.left or hour in unsealed:
                failed.append(hour)
                break
            if not await self._try(hour, report):
                failed.append(hour)
        wait = _RETRY if failed else _LOOK_AGAIN
        if hours and (step := await self.closing.step(claim, min([*failed, end]))) is not None:
            wait = min(wait, step)
        self._passed = end
        self._again_at = self._clock.now() + (timedelta(0) if report.left else wait)
        return report

    async def follow(self, hour: datetime) -> None:
        """Return when the copy of an hour is as its chains are, if there is a copy, or should be.

        A sealer waits for it before it deletes from the journal: till then somebody will come
        again. Raises LakeError.
        """
        async with self._following:
            await self._bring(hour, CompactionReport(), begin=await self.closing.is_read(hour))

    def closed(self) -> datetime:
        """Start of the first hour that is not closed yet."""
        closed_after = max(self._clock.settings.window + self._grace, _SETTLED)
        return layout.hour_of(self._clock.now() - closed_after)

    async def _try(self, start: datetime, report: CompactionReport) -> bool:
        report.hours += 1
        try:
            await self._bring(start, report)
        except Exception as error:  # whatever is wrong with one hour: the others go on
            code = getattr(error, "code", type(error).__name__)
            log.exception("hour %s of %s not compacted: %s", start, self._table.name, code)
            report.failed += 1
            return False
        return True

    async def _bring(
        self, start: datetime, report: CompactionReport, *, begin: bool = True
    ) -> None:
        """Look, and write what differs, until a look finds nothing to do.

        The last look is needed: who sealed a late row before our first file was there saw no
        copy that would have to follow. `begin`: also where nothing is compacted yet.
        """
        for _ in range(_TRIES):
            if self._clock.has_expired(start + layout.HOUR):
                return  # it is on its way out, file by file
            try:
                if not await self._hour(start, report, begin=begin):
                    return
            except (AlreadyExists, Mismatch, KeyMissing):
                continue  # somebody else compacts, or seals, here
        raise StoreUnavailable(f"hour {start} does not stay still")

    async def _hour(self, start: datetime, report: CompactionReport, *, begin: bool) -> bool:
        """One look; whether anything was written."""
        hour = await list_hour(self._store, start, self._table)
        if not hour.compacted and not (begin and hour.chains):
            return False
        hour.cuts = await self._cuts(hour)
        written = [await self._file(hour, cut, report) for cut in hour.cuts]
        return any(written)

    async def _cuts(self, hour: Hour) -> tuple[datetime, ...]:
        """Where the files of an hour begin: as its first file says, or as seems best now."""
        first = hour.compacted.get(hour.start)
        if first is not None:
            return (await self._footer(first)).cuts
        if hour.compacted:
            raise UnreadableObject(f"the first compacted file of {hour.start} went away")
        return hour.planned(_TARGET_BYTES)

    async def _file(self, hour: Hour, cut: datetime, report: CompactionReport) -> bool:
        sources = hour.sources(cut)
        there = hour.compacted.get(cut)
        if there is not None:
            said = (await self._footer(there)).sources
            if said == sources_of(sources):
                return False
            lost = {name for name, _ in said} - {name for name, _ in sources_of(sources)}
            if lost:
                # Nobody deletes chain files before they expire: the copy may be all that is left.
                raise UnreadableObject(f"chain files went away: {', '.join(sorted(lost))}")
        with tempfile.TemporaryFile(prefix="pixlake-compact-") as file:
            rows = await self._write(file, hour, sources)
            body = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            key = layout.compacted_key(cut, self._table.folders)
            if there is None:
                await self._store.create(key, body)
            else:
                await self._store.replace(key, body, there.etag)
        report.rows += rows
        report.files += 1
        return True

    async def _write(self, file: IO[bytes], hour: Hour, sources: list[Stored]) -> int:
        """The rows of these chain files; returns how many."""
        rows = 0
        read: list[Stored] = []
        with RowGroups(file, self._table) as groups:
            for source in sources:
                table, stored = await self._read(source)
                # What was read, which may be newer than what was listed.
                read.append(stored)
                rows += len(table)
                await self._aside.run(groups.add, table)
                del table
            footer = Footer(sources_of(read), hour.cuts)
            await self._aside.run(groups.close, footer.encode())
        file.flush()
        pa.default_memory_pool().release_unused()
        return rows

    async def _read(self, source: Stored) -> tuple[pa.Table, Stored]:
        data, stored = await self._store.get(source.key)
        decode = partial(decode_chain_file, source.key, data, of=self._table)
        return await self._aside.run(decode), stored

    async def _footer(self, stored: Stored) -> Footer:
        version = stored.key, stored.etag
        if version not in self._footers:
            if len(self._footers) >= _MAX_FOOTERS:
                self._footers.pop(next(iter(self._footers)))
            self._footers[version] = await read_footer(self._store, stored)
        return self._footers[version]
