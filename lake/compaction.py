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
"""

import asyncio
import logging
import mmap
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import IO

import pyarrow as pa

from lake import layout
from lake.aside import Aside
from lake.chain import chain_of
from lake.clock import StoreClock
from lake.compacted import Footer, read_footer, sources_of
from lake.errors import AlreadyExists, KeyMissing, Mismatch, UnreadableObject
from lake.object_store import ObjectStore, Stored
from lake.row_groups import RowGroups
from lake.rows import decode_chain_file
from lake.tables import IMAGE_TABLE, Table
from lake.watermark import move_watermark

log = logging.getLogger(__name__)

# Large enough for a scan to be one request after the other, small enough for one PUT and one task.
_TARGET_BYTES = 128 * 2**20
# Two passes of a sealer that has much to do: what is late by less costs no second file.
_SETTLED = timedelta(minutes=5)
_TRIES = 4
# After so long a pass begins no other hour.
_PASS_SECONDS = 60.0
# An hour that could not be compacted is looked at again after so long.
_RETRY = timedelta(minutes=1)
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


@dataclass(slots=True)
class _Hour:
    """One hour as it was listed: compacted files by their first home, chain files by theirs."""

    start: datetime
    compacted: dict[datetime, Stored]
    chains: dict[datetime, tuple[Stored, ...]]
    cuts: list[datetime] = field(default_factory=list)

    def sources(self, cut: datetime) -> list[Stored]:
        """Chain files of the homes that belong into the compacted file that begins here."""
        later = [one for one in self.cuts if one > cut]
        end = min(later, default=self.start + layout.HOUR)
        return [
            stored
            for home in sorted(self.chains)
            if cut <= home < end
            for stored in self.chains[home]
        ]


class Compactor:
    """Compacts one table."""

    def __init__(
        self,
        store: ObjectStore,
        clock: StoreClock,
        *,
        closed_after: timedelta,
        retention: timedelta,
        table: Table = IMAGE_TABLE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._closed_after = max(closed_after, _SETTLED)
        self._retention = retention
        self._table = table
        self._aside = Aside()
        self._footers: dict[tuple[str, str], Footer] = {}
        self._due: dict[datetime, datetime] = {}
        self._passed: datetime | None = None

    async def run_pass(self) -> CompactionReport:
        """Every closed hour, oldest first; the watermark moves behind those that are done.

        An hour that fails is logged and holds the watermark. Ends after a minute and the hour at
        work, for fresh rows to be sealed meanwhile; the next call goes on. Raises
        StoreUnavailable when the store can't be listed.
        """
        await self._clock.fresh()
        end = self.closed()
        report = CompactionReport()
        failed: list[datetime] = []
        deadline = asyncio.get_running_loop().time() + _PASS_SECONDS
        hours = await self._hours(end)
        for hour in hours:
            if asyncio.get_running_loop().time() > deadline:
                end, report.left = hour, True
                break
            if not await self._settled(hour, report):
                failed.append(hour)
        if hours:
            await move_watermark(self._store, self._table.folders, min([*failed, end]))
        self._passed = None if report.left else end
        self._due = {hour: self._clock.now() + _RETRY for hour in failed}
        return report

    async def refresh(self, hours: Collection[datetime]) -> CompactionReport:
        """After a sealer's pass that changed the chains of these hours: their copies follow.

        What fails comes again with a later call. If an hour was closed since the last full pass,
        this one is full.
        """
        await self._clock.fresh()
        if self._passed != self.closed():
            return await self.run_pass()
        now = self._clock.now()
        report = CompactionReport()
        self._due |= dict.fromkeys((hour for hour in hours if hour < self.closed()), now)
        for hour in sorted(hour for hour, due in self._due.items() if due <= now):
            if await self._settled(hour, report):
                del self._due[hour]
            else:
                self._due[hour] = now + _RETRY
        return report

    def closed(self) -> datetime:
        """Start of the first hour that is not closed yet."""
        return layout.hour_of(self._clock.now() - self._closed_after)

    async def _settled(self, start: datetime, report: CompactionReport) -> bool:
        """Bring one hour up to date."""
        if start + self._retention <= self._clock.now():
            return True  # it is on its way out, file by file
        report.hours += 1
        try:
            for _ in range(_TRIES):
                try:
                    await self._hour(start, report)
                except (AlreadyExists, Mismatch, KeyMissing):
                    continue  # somebody else compacts, or seals, here: look again
                return True
        except Exception as error:  # whatever is wrong with one hour: the others go on
            code = getattr(error, "code", type(error).__name__)
            log.exception("hour %s of %s not compacted: %s", start, self._table.name, code)
        report.failed += 1
        return False

    async def _hour(self, start: datetime, report: CompactionReport) -> None:
        hour = await self._listed(start)
        if not hour.compacted and not hour.chains:
            return
        hour.cuts = await self._cuts(hour)
        for cut in hour.cuts:
            await self._file(hour, cut, report)

    async def _listed(self, start: datetime) -> _Hour:
        # In this order: a file that replaces one of these was made of what is listed after them.
        compacted = {}
        prefix = layout.compacted_prefix(start, self._table.folders)
        for stored in await self._store.objects(prefix):
            first = layout.parse_compacted_key(stored.key)
            if first is not None:
                compacted[first] = stored
        files = await self._store.objects(layout.hour_prefix(start, self._table.folders))
        homes = {parsed[0] for one in files if (parsed := layout.parse_chain_key(one.key))}
        chains = {home: chain_of(home, files, self._table).files for home in homes}
        return _Hour(start, compacted, chains)

    async def _cuts(self, hour: _Hour) -> list[datetime]:
        """Where the files of an hour begin: as its first file says, or as seems best now."""
        first = hour.compacted.get(hour.start)
        if first is not None:
            return list((await self._footer(first)).cuts)
        if hour.compacted:
            raise UnreadableObject(f"the first compacted file of {hour.start} went away")
        cuts, size = [hour.start], 0
        for home in sorted(hour.chains):
            weight = sum(stored.size for stored in hour.chains[home])
            if size and size + weight > _TARGET_BYTES:
                cuts.append(home)
                size = 0
            size += weight
        return cuts

    async def _file(self, hour: _Hour, cut: datetime, report: CompactionReport) -> None:
        sources = hour.sources(cut)
        there = hour.compacted.get(cut)
        if there is not None:
            said = (await self._footer(there)).sources
            if said == sources_of(sources):
                return
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

    async def _write(self, file: IO[bytes], hour: _Hour, sources: list[Stored]) -> int:
        """The rows of these chain files; returns how many."""
        groups = RowGroups(file, self._table)
        rows = 0
        read: list[Stored] = []
        for source in sources:
            data, stored = await self._store.get(source.key)
            decode = partial(decode_chain_file, source.key, data, of=self._table)
            del data
            table = await self._aside.run(decode)
            del decode
            # What was read, which may be newer than what was listed.
            read.append(stored)
            rows += len(table)
            await self._aside.run(groups.add, table)
            del table
        footer = Footer(sources_of(read), tuple(hour.cuts))
        await self._aside.run(groups.close, footer.encode())
        file.flush()
        pa.default_memory_pool().release_unused()
        return rows

    async def _footer(self, stored: Stored) -> Footer:
        version = stored.key, stored.etag
        if version not in self._footers:
            if len(self._footers) >= _MAX_FOOTERS:
                self._footers.pop(next(iter(self._footers)))
            self._footers[version] = await read_footer(self._store, stored)
        return self._footers[version]

    async def _hours(self, end: datetime) -> list[datetime]:
        """Closed hours with a chain or a compacted file, in order."""
        found: set[datetime] = set()
        for root in (self._table.folders.chains, self._table.folders.compacted):
            for day in await self._store.folders(root):
                for hour in await self._store.folders(f"{root}/{day}"):
                    start = layout.parse_partition(f"{day}/{hour}")
                    if start is not None and start < end:
                        found.add(start)
        return sorted(found)
