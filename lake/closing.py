"""Moving the watermark, such that a row which was seen in a chain is in the copy that comes after.

Between a compactor's last look at an hour and its move a sealer could create a file for a late row:
readers of the chain would see it, those who come after the move would not. So
  1. a compactor claims the hours that it has copied: `closing`, `since` in the watermark
  2. half an hour later every file is there whose sealer can't have read the claim. It reads the
     watermark, looks at the hours again, and moves it: If-Match what it read
  3. a sealer with a late row reads the watermark first, and takes a claim on its hour back
Of 2 and 3 one loses, and reads again. Where a sealer finds the watermark moved, the copy follows.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lake.clock import StoreClock
from lake.errors import AlreadyExists, KeyMissing, LakeHeld, Mismatch, StoreUnavailable
from lake.layout import Folders
from lake.object_store import ObjectStore
from lake.watermark import Watermark, read_watermark, write_watermark

# A file must be on its way so long after its permit; with the 15 minutes of a signature, and 2 by
# which clocks may differ, it has landed when a claim is as old as that.
_PERMIT_SECONDS = 600.0
CLAIM_AGE = timedelta(minutes=30)
# Who held the lake and died holds it no longer than that; within the first hour he may go on.
_HOLD = timedelta(hours=3)
_RENEWED = timedelta(hours=1)
_TRIES = 8


@dataclass(frozen=True, slots=True)
class Claim:
    """The watermark as it was before the hours were looked at; `ripe`: it may move."""

    watermark: Watermark
    etag: str | None
    ripe: bool


class Closing:
    """The watermark of one table, as compactors and sealers handle it."""

    def __init__(self, store: ObjectStore, clock: StoreClock, folders: Folders) -> None:
        self._store = store
        self._clock = clock
        self._folders = folders

    async def permit(self, hour: datetime) -> None:
        """Return when a file with new rows may be created in an hour, at once.

        Raises LakeHeld, UnreadableObject, StoreUnavailable.
        """
        loop = asyncio.get_running_loop()
        while True:
            asked = loop.time()
            await self._ask(hour)
            if loop.time() - asked < _PERMIT_SECONDS:
                return

    async def hold(self) -> datetime:
        """Let nobody seal rows for some hours; returns from when on that is sure.

        Again within an hour: the same hold. Raises UnreadableObject, StoreUnavailable.
        """
        now = self._clock.now()

        def held(watermark: Watermark) -> Watermark:
            since = watermark.held
            return watermark if since and now < since + _RENEWED else replace(watermark, held=now)

        found = await self._change(held)
        return (found.held or now) + CLAIM_AGE

    async def release(self) -> None:
        """Let sealers go on; raises UnreadableObject, StoreUnavailable."""
        await self._change(lambda watermark: replace(watermark, held=None))

    async def check_held(self) -> None:
        """Raise LakeHeld unless what is PUT now lands while nobody seals."""
        watermark, _ = await read_watermark(self._store, self._folders)
        since, now = watermark.held, self._clock.now()
        if since is None or not since + CLAIM_AGE <= now <= since + _HOLD - CLAIM_AGE:
            raise LakeHeld("sealers are not held, or not for long enough")

    async def is_read(self, hour: datetime) -> bool:
        """Whether readers take this hour from its copy."""
        watermark, _ = await read_watermark(self._store, self._folders)
        return hour < watermark.complete_before

    async def begin(self) -> Claim:
        """What the watermark says before a compactor looks at the hours."""
        watermark, etag = await read_watermark(self._store, self._folders)
        since = watermark.since
        ripe = since is not None and since + CLAIM_AGE <= self._clock.now()
        return Claim(watermark, etag, ripe)

    async def step(self, claim: Claim, done: datetime) -> timedelta | None:
        """All before `done` was found to be copied: move, or claim.

        Returns when to come again for the next step, None if there is none left.
        """
        now = self._clock.now()
        before = claim.watermark
        after = before
        if claim.ripe and before.closing is not None:
            moved = max(before.complete_before, min(before.closing, done))
            after = replace(before, complete_before=moved, closing=None, since=None)
        if after.closing is None and after.complete_before < done:
            after = replace(after, closing=done, since=now)
        if after != before:
            try:
                await write_watermark(self._store, self._folders, after, claim.etag)
            except (AlreadyExists, Mismatch, KeyMissing):
                return timedelta(0)  # another compactor's, or a sealer with a late row
        return None if after.since is None else after.since + CLAIM_AGE - now

    async def _ask(self, hour: datetime) -> None:
        """Learn that nobody holds the lake, and take back a claim on the hour."""

        def free(watermark: Watermark) -> Watermark:
            if watermark.held and self._clock.now() < watermark.held + _HOLD:
                raise LakeHeld("the lake is switched to a new one; rows wait in the journal")
            # An hour that is not over has no claim: compactors wait for longer than clocks differ.
            return watermark.without(hour) if watermark.closes(hour) else watermark

        await self._change(free)

    async def _change(self, change: Callable[[Watermark], Watermark]) -> Watermark:
        for _ in range(_TRIES):
            before, etag = await read_watermark(self._store, self._folders)
            after = change(before)
            if after == before:
                return after
            try:
                await write_watermark(self._store, self._folders, after, etag)
            except (AlreadyExists, Mismatch, KeyMissing):
                continue
            return after
        raise StoreUnavailable("the watermark does not stay still")
