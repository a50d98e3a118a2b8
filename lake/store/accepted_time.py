"""Time that sweepers have accepted: a clock that jumps by a day deletes nothing.

A sweeper deletes by the store's clock. If that clock is days ahead, everything looks expired. So
each sweep notes its time in the store, and the next sweep refuses a time that is a day or more
later. A refused time is accepted when an operator confirms it, or when sweeps have seen the clock
go on from it for a day. Readers hide all images meanwhile, so a wrong clock is noticed by then.
If the note is refused (a full store, a right that is missing), a sweeper goes by its own memory.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from lake import layout
from lake.errors import KeyMissing, LakeError, StoreDenied, StoreFull
from lake.logs import logger
from lake.store.clock import StoreClock
from lake.store.decision import compare_and_swap
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore

log = logger(__name__)


class TimeJumped(LakeError):
    """The store's clock is a day or more after the last sweep; `value` is the jump in seconds."""

    code = "time_jumped"


class AcceptedTime(BaseModel):
    """Content of `audit/accepted-time.json`."""

    model_config = ConfigDict(frozen=True)

    accepted: datetime
    jumped: datetime | None = None
    """first time after a jump that is not accepted yet"""
    seen: datetime | None = None
    """last time after that jump"""


async def accept_time(
    store: ObjectStore,
    clock: StoreClock,
    *,
    confirmed: bool = False,
    note: bool = True,
    known: datetime | None = None,
) -> datetime:
    """Return the store's time if a sweep may rely on it, and note it in the store.

    `confirmed`: an operator says that the clock is right. `known`: time that this process has
    accepted before. Raises TimeJumped, StoreUnavailable.
    """

    async def step() -> AcceptedTime:
        found = await _read(store)
        before = found[0] if found else None
        if known is not None and (before is None or before.accepted < known):
            before = AcceptedTime(accepted=known)
        after = _next(before, clock, confirmed=confirmed)
        if not note:
            return after
        body = after.model_dump_json().encode()
        if found is None:
            await store.create(layout.ACCEPTED_TIME, body)
        else:
            await store.replace(layout.ACCEPTED_TIME, body, found[1].etag)
        return after

    try:
        after = await compare_and_swap(step, "the accepted time")
    except (StoreFull, StoreDenied) as error:
        if not note:  # reading is denied, too
            raise
        # Only a sweep makes room. Another process compares with an earlier time, more carefully.
        log.warning("time of the sweep not noted", error=error)
        return await accept_time(store, clock, confirmed=confirmed, note=False, known=known)
    if after.jumped is not None:
        raise _refused(after.accepted, after.seen or after.jumped, clock)
    return after.accepted


async def check_time(store: ObjectStore, clock: StoreClock) -> None:
    """Raise TimeJumped if a sweep would not rely on the store's time; writes nothing."""
    await accept_time(store, clock, note=False)


async def refused_since(store: ObjectStore, clock: StoreClock) -> datetime | None:
    """Time of the last sweep if sweepers refuse the store's clock now; raises StoreUnavailable.

    None also if no sweeper has run lately: then its deletions are late.
    """
    found = await _read(store)
    if found is None or found[0].jumped is None or found[0].seen is None:
        return None
    lately = abs(clock.now() - found[0].seen) < 2 * clock.times.sweep_interval
    return found[0].accepted if lately else None


def _next(before: AcceptedTime | None, clock: StoreClock, *, confirmed: bool) -> AcceptedTime:
    now, jump = clock.now(), clock.times.time_jump
    if before is None or confirmed or now - before.accepted < jump:
        return AcceptedTime(accepted=now)
    first, last = before.jumped, before.seen
    if first is None or last is None or not first <= now or now - last >= jump:
        return AcceptedTime(accepted=before.accepted, jumped=now, seen=now)
    if now - first >= jump:
        return AcceptedTime(accepted=now)
    return AcceptedTime(accepted=before.accepted, jumped=first, seen=now)


async def _read(store: ObjectStore) -> tuple[AcceptedTime, Stored] | None:
    try:
        data, stored = await store.get(layout.ACCEPTED_TIME)
    except KeyMissing:
        return None
    try:
        return AcceptedTime.model_validate_json(data), stored
    except ValueError:
        # Damaged: the object was written when its time was accepted.
        return AcceptedTime(accepted=stored.modified), stored


def _refused(accepted: datetime, now: datetime, clock: StoreClock) -> TimeJumped:
    return TimeJumped(
        f"the store's clock says {now:%Y-%m-%d %H:%M} UTC, and the last sweep was at "
        f"{accepted:%Y-%m-%d %H:%M}. Nothing is deleted. If the clock is right: pixlake sweep "
        "--accept-time; else it is accepted when it has gone on for a day",
        limit=clock.times.time_jump.total_seconds(),
        value=(now - accepted).total_seconds(),
    )
