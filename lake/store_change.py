"""Changes of what a store says of itself: planned, counted, then written over what was read.

  1. plan     the new settings; a retention begins CHANGE_DELAY later, when every process knows it
  2. count    the images that expire when it begins, and would not without it
  3. write    If-Match: a change that somebody else made meanwhile is not lost
A retention that has not begun, and that no process may act on yet, is replaced by the next one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from lake import layout
from lake.clock import StoreClock
from lake.errors import AlreadyExists, LakeError, Mismatch, StoreUndecided
from lake.folders import ImageFolder, image_folders
from lake.object_store import ObjectStore
from lake.opening import require_data
from lake.probe import probe
from lake.records import parse_record
from lake.schema import ImageRecord
from lake.settings import LakeSettings
from lake.store_settings import (
    CHANGE_DELAY,
    WITHDRAW_BEFORE,
    Retention,
    StoreSettings,
    as_json,
    read_store_settings,
)
from lake.stored import Stored

_READ_AT_ONCE = 500
# Of a store that does not say it: as long as there may be.
_UNKNOWN = StoreSettings(retention=(Retention(days=365, since=datetime(1970, 1, 1, tzinfo=UTC)),))


class ChangeRefused(LakeError):
    """The store's settings can't be changed like that now."""

    code = "store_change_refused"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be changed; None stays as it is."""

    retention_days: int | None = None
    window_seconds: int | None = None
    sweep_margin_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What would be written, and how many images would be gone by it."""

    store: ObjectStore
    found: tuple[StoreSettings, Stored] | None
    after: StoreSettings
    gone: int

    @property
    def before(self) -> StoreSettings | None:
        """What the store says; None where it is of an earlier Pixlake."""
        return self.found[0] if self.found else None

    @property
    def is_none(self) -> bool:
        """Whether the store says so already."""
        return self.before == self.after

    async def write(self) -> None:
        """Step 3; raises ChangeRefused, StoreUnavailable."""
        await probe(self.store)
        body = as_json(self.after)
        try:
            if self.found is None:
                await self.store.create(layout.STORE, body)
            else:
                await self.store.replace(layout.STORE, body, self.found[1].etag)
        except (AlreadyExists, Mismatch):
            raise ChangeRefused("somebody else has changed the store's settings") from None


def plan(kept: StoreSettings, wanted: Wanted, now: datetime, *, at_once: bool) -> StoreSettings:
    """The settings after the change; raises ChangeRefused.

    `at_once` is for a store that no process uses: what works with the settings of before would
    keep to them for up to an hour.
    """
    simple = {
        name: value
        for name in ("window_seconds", "sweep_margin_seconds")
        if (value := getattr(wanted, name)) is not None
    }
    changed = kept.model_copy(update=simple)
    if wanted.retention_days is None:
        return changed
    firm = tuple(each for each in kept.retention if each.since <= now + WITHDRAW_BEFORE)
    changed = changed.model_copy(update={"retention": firm})
    last = firm[-1]
    if last.days == wanted.retention_days:
        return changed
    begins = now if at_once else now + CHANGE_DELAY
    if last.since > begins:
        raise ChangeRefused(
            f"a retention of {last.days} days begins at {last.since:%Y-%m-%d %H:%M} UTC, and can't "
            "be withdrawn any more; change it after that",
            value=last.days,
        )
    return changed.changed(wanted.retention_days, begins)


async def prepare(settings: LakeSettings, wanted: Wanted, *, at_once: bool = False) -> Change:
    """Steps 1 and 2, on the store that the settings name; nothing is written.

    Raises StoreMisused, ChangeRefused, StoreUnavailable. A store of an earlier Pixlake gets
    settings of its own here, if `wanted` names the retention.
    """
    store = ObjectStore.open(settings, make=False)
    found = await read_store_settings(store)
    if found is None:
        await require_data(store, settings)
        if wanted.retention_days is None:
            raise StoreUndecided("the store is of an earlier Pixlake: say --retention-days first")
    clock = StoreClock(store, found[0] if found else _UNKNOWN)
    await clock.fresh()
    now = clock.now()
    if found is not None:
        changed = plan(clock.settings, wanted, now, at_once=at_once)
        since = changed.retention[-1].since
    else:
        given = {name: value for name, value in asdict(wanted).items() if value is not None}
        changed, since = StoreSettings.of(settings.model_copy(update=given)), now
    gone = 0
    if changed.retention != clock.settings.retention:
        gone = await _count_gone(store, clock.settings, changed, max(now, since))
    return Change(store, found, changed, gone)


async def _count_gone(
    store: ObjectStore, kept: StoreSettings, changed: StoreSettings, begins: datetime
) -> int:
    """Images that have expired by a moment, and would live on without the change."""

    def goes(home: datetime) -> bool:
        return changed.expires(home) <= begins < kept.expires(home)

    count = 0
    batch: list[str] = []
    async for found in image_folders(store, layout.IMAGES):
        # Every record is read: the times of a copied store's objects say nothing of its images.
        if isinstance(found, ImageFolder) and found.record is not None:
            batch.append(found.record_key)
        if len(batch) == _READ_AT_ONCE:
            count += sum(map(goes, await _homes(store, batch)))
            batch = []
    return count + sum(map(goes, await _homes(store, batch)))


async def _homes(store: ObjectStore, keys: Sequence[str]) -> list[datetime]:
    found = zip(keys, await store.read_many(keys), strict=True)
    records = [parse_record(key, data) for key, data in found if data is not None]
    return [record.home for record in records if isinstance(record, ImageRecord)]
