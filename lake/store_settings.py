"""Settings that live in the store: what decides about its data is the same for every process.

`store.json` is created when the store is made. It holds the version of the layout and of the
identities, the window, the sweeper's margin, and the retention with its changes. Nothing in a
caller's environment can change one of them.

A change of retention begins CHANGE_DELAY after it was written. Every process reads the object at
least once an hour, so all agree on which images have expired when a change begins. What has
expired stays expired: a longer retention is for images that are live when it begins.
"""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Self
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lake import layout
from lake.errors import AlreadyExists, KeyMissing, StoreContradicted, StoreTooNew, UnreadableObject
from lake.object_store import ObjectStore
from lake.settings import LakeSettings
from lake.stored import Stored

FORMAT = 1
LAYOUT = 1
IDENTITY = 1
# A reading is relied on for an hour, an attempt may use it for ten minutes more.
CHANGE_DELAY = timedelta(hours=3)
WITHDRAW_BEFORE = timedelta(minutes=80)
"""how long before its beginning a change can no longer be withdrawn"""
_DEFAULT_DAYS = 7
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Retention(BaseModel):
    """Days that images are kept, from a moment on."""

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
    sweep_margin_seconds: int = Field(default=3600, ge=900, le=7 * 86_400)
    retention: tuple[Retention, ...] = Field(
        default=(Retention(days=_DEFAULT_DAYS, since=_LONG_AGO),),
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
        """Those of a new store: as the environment says, with the defaults applied."""
        given = settings.model_dump(
            include={"window_seconds", "sweep_margin_seconds"}, exclude_none=True
        )
        days = settings.retention_days or _DEFAULT_DAYS
        return cls(**given, retention=(Retention(days=days, since=_LONG_AGO),))

    @property
    def window(self) -> timedelta:
        """Length of a home."""
        return timedelta(seconds=self.window_seconds)

    @property
    def margin(self) -> timedelta:
        """From an image's expiry to its deletion by the sweeper."""
        return timedelta(seconds=self.sweep_margin_seconds)

    @property
    def last_days(self) -> int:
        """Retention in days, once every change has begun."""
        return self.retention[-1].days

    def days(self, now: datetime) -> int:
        """Retention in days that is in force."""
        return [each.days for each in self.retention if each.since <= now][-1]

    def longest_days(self, now: datetime) -> int:
        """The longest retention that is in force or to come."""
        return max([self.days(now), *(each.days for each in self.retention if each.since > now)])

    def expires(self, home: datetime) -> datetime:
        """When an image of this home is hidden, for good. Grows with the home."""
        first, *changes = self.retention
        end = home + timedelta(days=first.days)
        for change in changes:
            if end > change.since:
                end = max(change.since, home + timedelta(days=change.days))
        return end

    def oldest(self, now: datetime) -> datetime:
        """Homes up to this one have expired. Grows with time."""
        cutoff = _LONG_AGO
        for n, each in enumerate(self.retention):
            if each.since > now:
                break
            until = self.retention[n + 1].since if n + 1 < len(self.retention) else now
            cutoff = max(cutoff, min(until, now) - timedelta(days=each.days))
        return cutoff

    def changed(self, days: int, since: datetime) -> Self:
        """With another retention from that moment on."""
        return self.model_copy(
            update={"retention": (*self.retention, Retention(days=days, since=since))}
        )

    def check(self, settings: LakeSettings) -> None:
        """Raise StoreContradicted where the environment says otherwise than the store."""
        days = settings.retention_days
        # While a change is to come both are right, so that a service may start with either.
        if days not in (None, self.days(datetime.now(UTC)), self.last_days):
            _contradict("retention_days", days, self.last_days)
        for name in ("window_seconds", "sweep_margin_seconds"):
            given, kept = getattr(settings, name), getattr(self, name)
            if given not in (None, kept):
                _contradict(name, given, kept)


def _contradict(name: str, given: int | None, kept: int) -> None:
    raise StoreContradicted(
        f"PIXLAKE_{name.upper()} is {given}, and the store has {kept}; the store's counts. Unset "
        f"the variable, or change the store: pixlake store set --{name.replace('_', '-')} {given}",
        limit=kept,
        value=given,
    )


def parse_store_settings(data: bytes) -> StoreSettings:
    """Content of `store.json`; raises UnreadableObject, StoreTooNew."""
    try:
        found = StoreSettings.model_validate_json(data)
    except ValueError as error:
        raise UnreadableObject(f"{layout.STORE}: {error}", value=layout.STORE) from error
    for name, known in (("format", FORMAT), ("layout", LAYOUT), ("identity", IDENTITY)):
        if (version := getattr(found, name)) > known:
            raise StoreTooNew(
                f"the store is of a later Pixlake: its {name} is {version}, this one knows {known}",
                limit=known,
                value=version,
            )
    return found


async def read_store_settings(store: ObjectStore) -> tuple[StoreSettings, Stored] | None:
    """What the store says, None where it says nothing; raises what parsing raises."""
    try:
        data, stored = await store.get(layout.STORE)
    except KeyMissing:
        return None
    return parse_store_settings(data), stored


async def create_store_settings(store: ObjectStore, wanted: StoreSettings) -> StoreSettings:
    """Write the settings of a new store; returns those that count: somebody may be quicker."""
    try:
        await store.create(layout.STORE, as_json(wanted))
    except AlreadyExists:
        found = await read_store_settings(store)
        if found is None:
            raise
        return found[0]
    return wanted


def as_json(settings: StoreSettings) -> bytes:
    """Content of `store.json`."""
    return f"{settings.model_dump_json(indent=1)}\n".encode()
