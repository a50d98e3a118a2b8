"""Settings that are kept in the store, so that they are the same for every process.

`store.json` is created with the store. It holds the versions of layout and identities, the length
of a window, the sweeper's margin, and the retention with its changes. The environment of a process
cannot change these settings.

A change of retention takes effect `change_delay` after it was written. Every process reads the
object at least once an hour, so all agree on the expired images when a change takes effect. An
expired image stays expired: a longer retention applies to images that have not expired by then.
"""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Self
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lake import layout
from lake.errors import (
    AlreadyExists,
    KeyMissing,
    StoreContradicted,
    StoreTooNew,
    StoreTooOld,
    UnreadableObject,
)
from lake.old_columns import NO_MIGRATION, OLD_COLUMNS
from lake.settings import RETENTION_DAYS, LakeSettings
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.timing import TIMES

FORMAT = 2
"""format of records and rows; format 1 has other column names (lake/old_columns.py)"""
LAYOUT = 1
IDENTITY = 1
_SHORTEST_MARGIN = int(TIMES.shortest_sweep_margin.total_seconds())
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Retention(BaseModel):
    """Retention in days, and the time from which it applies."""

    model_config = ConfigDict(frozen=True)

    days: int = Field(ge=1)
    since: datetime


class StoreSettings(BaseModel):
    """Content of `store.json`."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    layout: int = LAYOUT
    identity: int = IDENTITY
    store_id: str = Field(default_factory=lambda: uuid4().hex)
    window_seconds: int = Field(default=60, ge=1, le=3600)
    sweep_margin_seconds: int = Field(default=3600, ge=_SHORTEST_MARGIN, le=7 * 86_400)
    retention: tuple[Retention, ...] = Field(
        default=(Retention(days=RETENTION_DAYS, since=_LONG_AGO),),
        min_length=1,
        description="every retention that the store has had or will have, in order of time",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if any(later.since < earlier.since for earlier, later in pairwise(self.retention)):
            raise ValueError("retention is not in order of time")
        return self

    @classmethod
    def of(cls, settings: LakeSettings) -> Self:
        """Settings of a new store, from the environment and defaults."""
        given = settings.model_dump(
            include={"window_seconds", "sweep_margin_seconds"}, exclude_none=True
        )
        days = settings.retention_days or RETENTION_DAYS
        return cls(**given, retention=(Retention(days=days, since=_LONG_AGO),))

    @property
    def window(self) -> timedelta:
        """Length of a window."""
        return timedelta(seconds=self.window_seconds)

    @property
    def margin(self) -> timedelta:
        """Time from an image's expiry to its deletion by the sweeper."""
        return timedelta(seconds=self.sweep_margin_seconds)

    @property
    def last_days(self) -> int:
        """Retention in days after all changes have taken effect."""
        return self.retention[-1].days

    def days(self, now: datetime) -> int:
        """Current retention in days."""
        return [each.days for each in self.retention if each.since <= now][-1]

    def longest_days(self, now: datetime) -> int:
        """Longest retention in days, current or future."""
        return max([self.days(now), *(each.days for each in self.retention if each.since > now)])

    def expires(self, window_start: datetime) -> datetime:
        """Time at which images of this window expire; never earlier for a later window."""
        first, *changes = self.retention
        end = window_start + timedelta(days=first.days)
        for change in changes:
            if end > change.since:
                end = max(change.since, window_start + timedelta(days=change.days))
        return end

    def oldest(self, now: datetime) -> datetime:
        """Latest start of a window whose images have expired; increases with time."""
        cutoff = _LONG_AGO
        for n, each in enumerate(self.retention):
            if each.since > now:
                break
            until = self.retention[n + 1].since if n + 1 < len(self.retention) else now
            cutoff = max(cutoff, min(until, now) - timedelta(days=each.days))
        return cutoff

    def changed(self, days: int, since: datetime) -> Self:
        """Copy with another retention from `since` on."""
        return self.model_copy(
            update={"retention": (*self.retention, Retention(days=days, since=since))}
        )

    def check(self, settings: LakeSettings) -> None:
        """Raise StoreContradicted if the environment sets another value than the store."""
        days = settings.retention_days
        # Until a change takes effect both values are allowed, so that a service starts with either.
        if days not in (None, self.days(datetime.now(UTC)), self.last_days):
            _contradict("retention_days", days, self.last_days)
        for name in ("window_seconds", "sweep_margin_seconds"):
            given, kept = getattr(settings, name), getattr(self, name)
            if given not in (None, kept):
                _contradict(name, given, kept)


def _contradict(name: str, given: int | None, kept: int) -> None:
    raise StoreContradicted(
        f"PIXLAKE_{name.upper()} is {given}, but the store has {kept}, which counts. Unset the "
        f"variable, or change the store: pixlake store set --{name.replace('_', '-')} {given}",
        limit=kept,
        value=given,
    )


def parse_store_settings(data: bytes) -> StoreSettings:
    """Parse `store.json`; raises UnreadableObject, StoreTooNew, StoreTooOld."""
    try:
        settings = StoreSettings.model_validate_json(data)
    except ValueError as error:
        raise UnreadableObject(f"{layout.STORE}: {error}", value=layout.STORE) from error
    for name, known in (("format", FORMAT), ("layout", LAYOUT), ("identity", IDENTITY)):
        if (version := getattr(settings, name)) > known:
            raise StoreTooNew(
                f"a later version of Pixlake made the store: its {name} is {version}, this version "
                f"supports {known}",
                limit=known,
                value=version,
            )
    if settings.format < FORMAT:
        raise too_old(f"its format is {settings.format}, this version reads {FORMAT}")
    return settings


def too_old(why: str) -> StoreTooOld:
    """Error for a store of before 0.1.0."""
    names = ", ".join(f"`{new}` was `{old}`" for old, new in OLD_COLUMNS.items())
    return StoreTooOld(
        f"a version before 0.1.0 made the store: {why}. Columns have new names ({names}). "
        f"{NO_MIGRATION}",
        limit=FORMAT,
        value=FORMAT - 1,
    )


async def read_store_settings(store: ObjectStore) -> tuple[StoreSettings, Stored] | None:
    """Read `store.json`; None if it does not exist. Raises UnreadableObject, StoreMisused."""
    try:
        data, stored = await store.get(layout.STORE)
    except KeyMissing:
        return None
    return parse_store_settings(data), stored


async def create_store_settings(store: ObjectStore, wanted: StoreSettings) -> StoreSettings:
    """Write the settings of a new store; returns those of another process if it was faster."""
    try:
        await store.create(layout.STORE, as_json(wanted))
    except AlreadyExists:
        existing = await read_store_settings(store)
        if existing is None:
            raise
        return existing[0]
    return wanted


def as_json(settings: StoreSettings) -> bytes:
    """Content of `store.json`."""
    return f"{settings.model_dump_json(indent=1)}\n".encode()
