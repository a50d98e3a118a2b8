"""Sealing: rows move from the journal into their home's chain.

Any number of sealers, any home, any order, any time. One home:
  1. LIST journal/<home>/, read the rows and the tombstones
  2. finish each erasure; read the chain (ids, erased ids)
  3. rewrite (If-Match) files that hold an erased row; rows whose id is nowhere in the chain
     become the next file, create-only. Lost or unsure: back to 2, never to the next number
  4. DELETE the journal objects of step 1; tombstones only once they are an hour old

A dead sealer delays rows, never loses or doubles them.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lake import layout
from lake.chain import Chain, ChainFile, read_chain, read_rows
from lake.clock import StoreClock
from lake.erasure import Eraser
from lake.errors import (
    AlreadyExists,
    KeyMissing,
    LakeError,
    Mismatch,
    StoreUnavailable,
    UnreadableObject,
)
from lake.object_store import ObjectStore, Stored
from lake.rows import JournalRows, decode_journal, encode_chain_file, merge, without

log = logging.getLogger(__name__)

# What a paused writer PUT after the erasure is deleted again until then; an attempt lives 10
# minutes and its signatures 15, so an hour is far enough.
_TOMBSTONE_AGE = timedelta(hours=1)
_OTHERS = 64
_TRIES = 8
_READERS = 16


@dataclass(frozen=True, slots=True)
class PassReport:
    """What a pass did: homes looked at, rows and files written, homes that failed."""

    homes: int = 0
    rows: int = 0
    files: int = 0
    failed: int = 0


class Sealer:
    """Moves rows from the journal to the lake."""

    def __init__(
        self,
        store: ObjectStore,
        clock: StoreClock,
        eraser: Eraser,
        *,
        window: timedelta,
        grace: timedelta,
        retention: timedelta,
    ) -> None:
        self._store = store
        self._clock = clock
        self._eraser = eraser
        self._closed_after = window + grace
        self._retention = retention

    async def run_pass(self, *, now: bool = False) -> PassReport:
        """One pass over what the journal holds; `now` also seals windows that are still open.

        A home that fails is logged and left for the next pass; raises only when the journal
        can't be listed.
        """
        await self._clock.fresh()
        homes = rows = files = failed = 0
        for home in await self._todo(now=now):
            homes += 1
            try:
                sealed = await self.seal_home(home)
            except LakeError as error:
                failed += 1
                log.exception("home %s not sealed: %s", layout.home_name(home), error.code)
                continue
            rows += sealed
            files += bool(sealed)
        return PassReport(homes, rows, files, failed)

    async def seal_home(self, home: datetime) -> int:
        """Seal what the journal holds of one home now; returns the number of rows written."""
        objects = await self._store.objects(layout.journal_prefix(home))
        journal = await self._read_journal(objects)
        if home + self._retention <= self._clock.now():
            rows = 0  # expired: the rows go, no file comes
        else:
            for tombstone in journal.rows.tombstones:
                await self._eraser.finish(tombstone)
            rows = await self._extend(home, journal.rows)
        await asyncio.gather(*(self._store.delete(key) for key in journal.consumed(self._clock)))
        return rows

    async def _todo(self, *, now: bool) -> Sequence[datetime]:
        homes = []
        for name in await self._store.folders(layout.JOURNAL):
            home = layout.parse_home(name)
            if now or home + self._closed_after <= self._clock.now():
                homes.append(home)
        fresh: list[datetime] = []
        others: list[datetime] = []
        for home in sorted(homes, reverse=True):
            (others if await self._has_file(home) else fresh).append(home)
        return fresh + random.sample(others, min(_OTHERS, len(others)))

    async def _has_file(self, home: datetime) -> bool:
        try:
            await self._store.head(layout.chain_key(home, 0))
        except KeyMissing:
            return False
        return True

    async def _read_journal(self, objects: Sequence[Stored]) -> "_Journal":
        limit = asyncio.Semaphore(_READERS)

        async def read(stored: Stored) -> tuple[Stored, JournalRows] | None:
            async with limit:
                try:
                    data, _ = await self._store.get(stored.key)
                    return stored, await asyncio.to_thread(decode_journal, stored.key, data)
                except KeyMissing:
                    return None  # another sealer was quicker
                except UnreadableObject:
                    # It stays where it is, and is an alarm; the others go on.
                    log.exception("unreadable journal object %s", stored.key)
                    return None

        found = [part for part in await asyncio.gather(*map(read, objects)) if part]
        rows = await asyncio.to_thread(merge, [rows for _, rows in found])
        return _Journal(rows, found)

    async def _extend(self, home: datetime, rows: JournalRows) -> int:
        dead = frozenset(tombstone.image_id for tombstone in rows.tombstones)
        for _ in range(_TRIES):
            chain = await read_chain(self._store, home)
            try:
                for file in chain.files:
                    if file.ids & dead:
                        await self._rewrite(file, dead)
                return await self._append(chain, rows, dead)
            except (AlreadyExists, Mismatch, KeyMissing, StoreUnavailable):
                continue  # lost, or unsure: only reading tells
        raise StoreUnavailable(f"the chain of {layout.home_name(home)} does not stay still")

    async def _append(self, chain: Chain, rows: JournalRows, dead: frozenset[str]) -> int:
        """Create the next file, if there is anything to put into it."""
        known = chain.ids | chain.erased | dead
        fresh = await asyncio.to_thread(without, rows.images, known)
        # Erased before its row was sealed: the chain must say so, or a late replay brings it back.
        noted = dead - chain.ids - chain.erased
        if len(fresh) or noted:
            body = await asyncio.to_thread(encode_chain_file, fresh, noted)
            await self._store.create(chain.next_key, body)
        return len(fresh)

    async def _rewrite(self, file: ChainFile, dead: frozenset[str]) -> None:
        """Take erased rows out of a file, and note their ids in its footer."""
        rows = await read_rows(self._store, file.key)
        body = await asyncio.to_thread(
            encode_chain_file, without(rows, dead), file.erased | (file.ids & dead)
        )
        await self._store.replace(file.key, body, file.etag)


@dataclass(frozen=True, slots=True)
class _Journal:
    """The journal of a home as it was listed and read."""

    rows: JournalRows
    objects: Sequence[tuple[Stored, JournalRows]]

    def consumed(self, clock: StoreClock) -> list[str]:
        """Keys that may go now that every row in them is in the chain."""
        return [
            stored.key
            for stored, rows in self.objects
            if not rows.tombstones or stored.modified + _TOMBSTONE_AGE <= clock.now()
        ]
