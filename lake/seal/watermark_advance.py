"""Advance of the compaction watermark without the loss of late rows.

A sealer could create a segment for a late row after a compactor's last listing of the hour and
before the watermark advances. Readers of the chain would see the row, and readers of the compacted
copy would not. This is prevented in three steps:
  1. a compactor claims the hours that it has copied: `closing` and `since` in the watermark
  2. half an hour later, every file exists whose sealer can't have read the claim. The compactor
     reads the watermark, lists the hours again, and advances the watermark with If-Match
  3. a sealer with a late row first reads the watermark, and withdraws a claim on the row's hour
Steps 2 and 3 write the same object with If-Match, so one of the two fails and reads again. If a
sealer finds the watermark advanced, it updates the compacted copy.

A claim or a hold that is dated ahead was written by a clock that was wrong. It counts from now on,
and not from its date.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lake.errors import ClaimKept, LakeHeld
from lake.layout import Folders
from lake.seal.watermark import Watermark, read_watermark, write_watermark
from lake.store.clock import StoreClock
from lake.store.decision import CHANGED, compare_and_swap
from lake.store.object_store import ObjectStore


@dataclass(frozen=True, slots=True)
class Claim:
    """Watermark before the hours were listed; `ripe`: the claim is old enough to advance it."""

    watermark: Watermark
    etag: str | None
    ripe: bool


class WatermarkAdvance:
    """Updates the watermark of one table, for compactors and sealers."""

    def __init__(self, store: ObjectStore, clock: StoreClock, folders: Folders) -> None:
        self._store = store
        self._clock = clock
        self._times = clock.times
        self._folders = folders
        self.complete_before: datetime | None = None
        """watermark when it was last read or advanced; None before that, or without one"""

    async def permit(self, hour: datetime, *, withdraw: bool = True) -> None:
        """Permit a new segment in an hour; the caller must start its PUT at once.

        Withdraws a claim on the hour; with `withdraw` false, only a claim that should have advanced
        the watermark long ago. Raises ClaimKept, LakeHeld, StoreUnavailable.
        """
        while True:
            asked = self._clock.machine.moment()
            await self._ask(hour, withdraw=withdraw)
            if asked.age < self._times.permit:
                return

    async def hold(self) -> datetime:
        """Stop all sealers for three hours; returns the time from which no sealer writes.

        A second call within an hour returns the same hold. Raises UnreadableObject,
        StoreUnavailable.
        """
        now, renewed = self._clock.now(), self._times.hold_renewed

        def held(watermark: Watermark) -> Watermark:
            since = watermark.held
            renews = since is not None and not self._is_ahead(since) and now < since + renewed
            return watermark if renews else replace(watermark, held=now)

        watermark = await self._change(held)
        return (watermark.held or now) + self._times.claim_age

    async def release(self) -> None:
        """End the hold, so that sealers continue; raises UnreadableObject, StoreUnavailable."""
        await self._change(lambda watermark: replace(watermark, held=None))

    async def check_held(self) -> None:
        """Raise LakeHeld unless a PUT that starts now takes effect while no sealer writes."""
        watermark, _ = await read_watermark(self._store, self._folders)
        since, now, age = watermark.held, self._clock.now(), self._times.claim_age
        if since is None or not since + age <= now <= since + self._times.hold - age:
            raise LakeHeld(
                f"sealing is not held, or its hold is younger than {age} or about to end; "
                "run the cutover again"
            )

    async def is_read(self, hour: datetime) -> bool:
        """True if readers read this hour from its compacted copy."""
        watermark, _ = await read_watermark(self._store, self._folders)
        return hour < watermark.complete_before

    async def begin(self) -> Claim:
        """Read the watermark; a compactor calls this before it lists the hours."""
        watermark, etag = await read_watermark(self._store, self._folders)
        self.complete_before = watermark.complete_before if etag else None
        since = watermark.since
        ripe = since is not None and since + self._times.claim_age <= self._clock.now()
        return Claim(watermark, etag, ripe)

    async def step(self, claim: Claim, done: datetime) -> timedelta | None:
        """Advance the watermark, or claim hours; all hours before `done` have a current copy.

        Returns the wait until the next step, or None if no step remains.
        """
        now = self._clock.now()
        before = claim.watermark
        after = before
        if claim.ripe and before.closing is not None:
            moved = max(before.complete_before, min(before.closing, done))
            after = replace(before, complete_before=moved, closing=None, since=None)
        if self._is_ahead(before.since):
            after = replace(after, closing=None, since=None)
        if after.closing is None and after.complete_before < done:
            after = replace(after, closing=done, since=now)
        if after != before:
            try:
                await write_watermark(self._store, self._folders, after, claim.etag)
            except CHANGED:
                return timedelta(0)  # another compactor, or a sealer with a late row, was faster
            self.complete_before = after.complete_before
        return None if after.since is None else after.since + self._times.claim_age - now

    async def _ask(self, hour: datetime, *, withdraw: bool) -> None:
        """Check that there is no hold, and withdraw a claim on the hour.

        Raises LakeHeld, ClaimKept.
        """

        def free(watermark: Watermark) -> Watermark:
            if self._is_ahead(watermark.held):
                # Not dropped: the cutover of a process whose clock is wrong would write besides.
                return replace(watermark, held=self._clock.now())
            if self._holds(watermark):
                return watermark
            # An hour that has not ended has no claim: compactors wait longer than clocks differ.
            if not watermark.closes(hour):
                return watermark
            if not withdraw and self._may_advance(watermark):
                raise ClaimKept("the window failed before, and waits for the claim on its hour")
            return watermark.without(hour)

        watermark = await self._change(free)
        if self._holds(watermark):
            raise LakeHeld("a new lake replaces the current one; rows wait in the journal")
        if watermark != Watermark():
            self.complete_before = watermark.complete_before

    def _may_advance(self, watermark: Watermark) -> bool:
        """True for a claim that a compactor uses when it is ripe; later, no compactor runs."""
        since = watermark.since
        if since is None or self._is_ahead(since):
            return False
        return self._clock.now() < since + 2 * self._times.claim_age

    def _is_ahead(self, since: datetime | None) -> bool:
        return since is not None and self._clock.is_ahead(since)

    def _holds(self, watermark: Watermark) -> bool:
        return watermark.held is not None and self._clock.now() < watermark.held + self._times.hold

    async def _change(self, change: Callable[[Watermark], Watermark]) -> Watermark:
        async def step() -> Watermark:
            before, etag = await read_watermark(self._store, self._folders)
            after = change(before)
            if after != before:
                await write_watermark(self._store, self._folders, after, etag)
            return after

        return await compare_and_swap(step, "the watermark")
