"""Sealer: moves rows from the journal into the chain of their window.

Any number of sealers may work at any window, at any time and in any order. For one window a sealer
takes these steps, in batches of bounded size:
  1. LIST journal/<window>/, read rows and tombstones
  2. finish each erasure, also in a shadow lake; read the chain (ids, erased ids)
  3. rewrite (If-Match) files that hold an erased row; write rows whose id is nowhere in the chain
     to the next file, create-only. If that fails or its result is unknown, repeat from 2; never
     try the next number (rows that are late for their hour: lake/seal/watermark_advance.py)
  4. update the hour's compacted copy, if it has one
  5. DELETE the journal objects of step 1; tombstones only once they are an hour old

A sealer that dies delays rows, and none is lost or duplicated. So a pass may abandon a slow window.
"""

import asyncio
import random
from collections.abc import Iterable, Iterator
from contextlib import aclosing, nullcontext
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lake import layout
from lake.commit.erasure import Eraser
from lake.errors import LakeError, LakeHeld, StoreUnavailable
from lake.logs import logger
from lake.seal.compaction import Compactor
from lake.seal.hours import begun, segments_of
from lake.seal.journal_batches import Batch, JournalBatches
from lake.seal.pass_report import PassReport, Sealed
from lake.seal.segments import Chain, Chains, Known
from lake.seal.shadow_rows import ShadowRows
from lake.seal.sizes import SIZES, SealerSizes
from lake.seal.todo import Todo
from lake.seal.window_tries import WindowTries
from lake.store.accepted_time import check_time
from lake.store.clock import StoreClock
from lake.store.decision import CHANGED, compare_and_swap
from lake.store.idle_executor import IdleExecutor
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.tables.ids import IdSet, first_of_each
from lake.tables.rows import encode_chain_file, in_order, without_rows
from lake.tables.tables import IMAGE_TABLE, Table

log = logger(__name__)

# Windows with a segment that a pass chooses at random, in addition to all windows without one.
_OTHERS = 64
# Windows that are sealed at once; a small window mostly waits for the store.
_WINDOWS = 4


class Sealer:
    """Moves rows of one table from the journal to the lake."""

    def __init__(
        self,
        store: ObjectStore,
        clock: StoreClock,
        eraser: Eraser,
        compactor: Compactor,
        *,
        grace: timedelta,
        table: Table = IMAGE_TABLE,
        sizes: SealerSizes = SIZES,
    ) -> None:
        self._table = table
        self._store = store
        self._clock = clock
        self._eraser = eraser
        self._compactor = compactor
        self._grace = grace
        self._idle_executor = IdleExecutor()
        self._chains = Chains(store, self._idle_executor, sizes, table)
        self._pending = JournalBatches(store, clock, self._idle_executor, sizes, table)
        self._shadow_rows = ShadowRows(store, self._idle_executor)
        self.tries = WindowTries(clock.machine, clock.times.window_stuck)
        """results of this sealer's tries at the windows of the journal"""
        self.sealed_before: datetime | None = None
        """Start of the oldest window that may have unsealed rows after the last pass."""

    async def run_pass(self, *, now: bool = False) -> PassReport:
        """Seal the closed windows of the journal; `now`: also the windows that are still open.

        A failed window, or an hour that can't be listed, is logged and left to the next pass;
        raises StoreUnavailable if the journal can't be listed. Without `now`, a pass starts no
        further window after a minute. Windows that closed in the meantime come first in the next
        pass.
        """
        await self._clock.fresh()
        sealed_before = self._clock.now() - self._delay(now=now)
        todo = await self._todo(now=now)
        longest = self._clock.times.seal_pass.total_seconds()
        deadline = None if now else asyncio.get_running_loop().time() + longest
        remaining = iter(todo.windows)
        await asyncio.gather(*(self._work(remaining, todo, deadline) for _ in range(_WINDOWS)))
        # Arrow keeps freed memory, but a sealer needs it only for a moment each minute.
        pa.default_memory_pool().release_unused()
        self.sealed_before = min([sealed_before, *todo.unsealed()])
        return todo.report()

    def _delay(self, *, now: bool) -> timedelta:
        return timedelta(0) if now else self._clock.settings.window + self._grace

    @property
    def unreadable(self) -> int:
        """Number of journal objects that did not parse when they were last read."""
        return self._pending.unreadable

    async def seal_window(self, window_start: datetime) -> Sealed:
        """Seal all rows of one window that the journal holds now; raises LakeError."""
        sealed = Sealed()
        await self._seal(window_start, None, sealed)
        return sealed

    async def _work(
        self, remaining: Iterator[datetime], todo: Todo, deadline: float | None
    ) -> None:
        """Seal one window after the other; several workers share the windows of a pass."""
        for window_start in remaining:
            sealed = Sealed()
            todo.sealed.append(sealed)
            try:
                chain = todo.chain(window_start)
                longest = self._clock.times.seal_window.total_seconds()
                async with asyncio.timeout(longest if deadline else None):
                    await self._seal(window_start, chain, sealed)
                self.tries.succeeded(window_start)
            except Exception as error:  # one failed window must not stop the others
                sealed.failed = True
                if not isinstance(error, LakeHeld):  # a cutover holds all windows
                    self.tries.failed(window_start)
                code = getattr(error, "code", type(error).__name__)
                log.exception(
                    "window not sealed", window=layout.window_name(window_start), code=code
                )
            if deadline and asyncio.get_running_loop().time() > deadline:
                return

    async def _todo(self, *, now: bool) -> Todo:
        """List the windows to seal: those without a segment, newest first; then some others.

        Windows that failed come last, otherwise a few that hang would use up the time of each pass.
        """
        names = await self._store.folders(self._table.folders.journal)
        windows = layout.windows_of(names)
        for name in layout.not_windows(names):
            self._store.skipped.add(f"{self._table.folders.journal}/{name}")
        if not now:
            closed = self._clock.now() - self._delay(now=False)
            # A window that was dated by a clock that was ahead must not wait for its time.
            windows = [start for start in windows if start <= closed or self._clock.is_ahead(start)]
        files = await self._files(windows)
        unlisted = [start for start in windows if layout.hour_of(start) not in files]
        others = {start for listed in files.values() for start in begun(listed)} & set(windows)
        fresh = sorted(set(windows) - others - set(unlisted), reverse=True)
        chosen = random.sample(sorted(others), len(others) if now else min(_OTHERS, len(others)))
        self.tries.keep(windows)
        self._pending.keep(layout.windows_of(names))
        for window_start in unlisted:
            self.tries.failed(window_start)
        order = sorted(fresh + chosen, key=self.tries.last_failure)
        return Todo(self._table, order, files, unlisted)

    async def _files(self, windows: Iterable[datetime]) -> dict[datetime, list[Stored]]:
        """List the segments of the hours of windows, without the hours that can't be listed."""
        hours = sorted({layout.hour_of(window_start) for window_start in windows})
        listed = await asyncio.gather(
            *(segments_of(self._store, hour, self._table) for hour in hours)
        )
        return {hour: files for hour, files in zip(hours, listed, strict=True) if files is not None}

    async def _seal(self, window_start: datetime, chain: Chain | None, sealed: Sealed) -> None:
        unfinished: list[str] = []
        uncopied: LakeError | None = None
        if expired := self._clock.has_expired(window_start):
            await check_time(self._store, self._clock)  # a wrong clock must not delete rows
        async with aclosing(self._pending.batches(window_start)) as batches:
            async for batch in batches:
                if not expired:  # rows of an expired window are deleted, not sealed
                    unfinished = await self._finish(batch)
                    sealed.unfinished += unfinished
                    chain = await self._extend(window_start, chain, batch, sealed)
                    uncopied = await self._copy(window_start) or uncopied
                sealed.unreadable += batch.unreadable
                if uncopied is None:
                    consumed = self._pending.consume(batch, erasures=not unfinished)
                    sealed.undeleted += await consumed
                del batch  # otherwise two batches are in memory while the next one is read
        if uncopied is not None:
            raise uncopied

    async def _finish(self, batch: Batch) -> list[str]:
        """Finish the erasures of a batch; returns the images whose erasure failed.

        An object that can't be deleted (legal hold, a denied prefix) must not stop the rows of
        other images. Its tombstone stays in the journal, and a later pass tries again.
        """
        try:
            # First, because a cutover may hold the steps that follow.
            await self._shadow_rows.erase(batch.tombstones)
        except LakeError as error:
            windows = sorted({layout.window_name(t.window_start) for t in batch.tombstones})
            log.warning("rows of a shadow lake not erased", windows=windows, error=error)
            failed = set(batch.dead)
        else:
            failed = set()
        for tombstone in batch.tombstones:
            try:
                await self._eraser.finish(tombstone)
            except LakeError as error:
                failed.add(tombstone.image_id)
                log.warning("erasure not finished", image_id=tombstone.image_id, error=error)
        return sorted(failed)

    async def _copy(self, window_start: datetime) -> LakeError | None:
        """Update the compacted copy of the hour, if the hour has ended or readers use its copy.

        Returns the error if the copy can't be updated: the next batches are sealed all the same,
        and the journal keeps what the copy lacks. Readers use the copy of an hour that has not
        ended if a clock that was ahead advanced the watermark.
        """
        hour = layout.hour_of(window_start)
        before = self._compactor.watermark_advance.complete_before
        if hour + layout.HOUR <= self._clock.now() or (before is not None and hour < before):
            try:
                await self._compactor.follow(window_start)
            except LakeError as error:
                return error
        return None

    async def _extend(
        self, window_start: datetime, chain: Chain | None, batch: Batch, sealed: Sealed
    ) -> Chain | None:
        """Add a batch to the chain; returns the new chain, or None if it must be read again."""
        read: Chain | None = chain

        async def step() -> tuple[Chain, bool]:
            nonlocal read
            # If another process is faster or the result is unknown, the next try reads again.
            known, read = read, None
            return await self._append(known or await self._chains.read(window_start), batch, sealed)

        after, rewritten = await compare_and_swap(
            step,
            f"the chain of {layout.window_name(window_start)}",
            again=(*CHANGED, StoreUnavailable),
        )
        return None if rewritten else after

    async def _append(self, chain: Chain, batch: Batch, sealed: Sealed) -> tuple[Chain, bool]:
        """Remove erased rows, then create the next file if there are new rows or erased ids.

        Returns the chain, and whether one of its files was rewritten.
        """
        dead = batch.dead
        noted = set(dead)
        wanted = await self._idle_executor.run(first_of_each, batch.ids)
        rewritten = False
        for file in chain.files:
            known = await self._chains.known(file)
            held = known.ids.among(dead)
            if held:
                await self._rewrite(file, held, batch)
                rewritten = True
            noted -= held | known.erased.among(noted)
            wanted &= ~(known.ids.holds(batch.ids) | known.erased.holds(batch.ids))
        wanted &= ~IdSet.of(dead).holds(batch.ids)
        # An image that was erased before its row was sealed: without its id in the chain, a late
        # replay would add the row again.
        if wanted.any() or noted:
            file = await self._create(chain, batch, wanted, noted)
            chain = chain.extended(file)
            sealed.rows += int(wanted.sum())
            sealed.files += 1
            sealed.bytes += file.size
        return chain, rewritten

    async def _create(
        self, chain: Chain, batch: Batch, wanted: NDArray[np.bool_], noted: set[str]
    ) -> Stored:
        key = chain.next_key
        order = await self._idle_executor.run(in_order, batch.images, wanted, self._table)
        body = await self._idle_executor.run(
            encode_chain_file, batch.images, noted, order, self._table
        )
        if wanted.any():
            await self._compactor.watermark_advance.permit(
                layout.hour_of(chain.window_start),
                withdraw=not self.tries.is_stuck(chain.window_start),
            )
        etag = await self._store.create(key, body)
        file = Stored(key, len(body), etag, self._clock.now())
        self._chains.remember(file, Known(IdSet(batch.ids[wanted]), IdSet.of(noted)))
        return file

    async def _rewrite(self, file: Stored, dead: frozenset[str], batch: Batch) -> None:
        """Remove erased rows from a file, and add their ids to its footer."""
        async with nullcontext() if batch.large else self._pending.large:
            data, stored = await self._store.get(file.key)
            body = await self._idle_executor.run(without_rows, file.key, data, dead)
            await self._store.replace(file.key, body, stored.etag)
