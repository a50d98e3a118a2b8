"""Changes of a store's settings.

  1. plan     the new settings; a retention takes effect `change_delay` later, when all processes
              have read it
  2. count    the images that expire when it takes effect, and would not without it
  3. write    with If-Match, so that a concurrent change is not lost
A planned retention that no process may use yet is replaced by the next one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from lake import layout
from lake.commit.records import parse_record
from lake.errors import AlreadyExists, LakeError, Mismatch, StoreUndecided
from lake.settings import LakeSettings
from lake.store.clock import StoreClock
from lake.store.folders import ImageFolder, image_folders
from lake.store.object_meta import Stored
from lake.store.object_store import ObjectStore
from lake.store.opening import require_data
from lake.store.probe import probe
from lake.store.store_settings import Retention, StoreSettings, as_json, read_store_settings
from lake.tables.schema import ImageRecord
from lake.timing import TIMES, ProtocolTimes

_READ_AT_ONCE = 500
# Settings assumed for a store without `store.json`: the longest possible retention.
_UNKNOWN = StoreSettings(retention=(Retention(days=365, since=datetime(1970, 1, 1, tzinfo=UTC)),))


class ChangeRefused(LakeError):
    """The store's settings can't be changed like that now."""

    code = "store_change_refused"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Requested changes; None keeps a setting."""

    retention_days: int | None = None
    window_seconds: int | None = None
    sweep_margin_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Planned change, and the number of images that expire by it."""

    store: ObjectStore
    found: tuple[StoreSettings, Stored] | None
    after: StoreSettings
    gone: int

    @property
    def before(self) -> StoreSettings | None:
        """Settings before the change; None for a store of an earlier version."""
        return self.found[0] if self.found else None

    @property
    def is_none(self) -> bool:
        """True if the change changes nothing."""
        return self.before == self.after

    async def write(self) -> None:
        """Write the new settings (step 3); raises ChangeRefused, StoreUnavailable."""
        await probe(self.store)
        body = as_json(self.after)
        try:
            if self.found is None:
                await self.store.create(layout.STORE, body)
            else:
                await self.store.replace(layout.STORE, body, self.found[1].etag)
        except (AlreadyExists, Mismatch):
            raise ChangeRefused("another process has changed the store's settings") from None


def plan(
    kept: StoreSettings,
    wanted: Wanted,
    now: datetime,
    *,
    at_once: bool,
    times: ProtocolTimes = TIMES,
) -> StoreSettings:
    """Compute the settings after the change (step 1); raises ChangeRefused.

    `at_once` is for a store that no process uses: running processes would use the old settings for
    up to an hour.
    """
    simple = {
        name: value
        for name in ("window_seconds", "sweep_margin_seconds")
        if (value := getattr(wanted, name)) is not None
    }
    changed = kept.model_copy(update=simple)
    if wanted.retention_days is None:
        return changed
    firm = tuple(each for each in kept.retention if each.since <= now + times.withdraw_before)
    changed = changed.model_copy(update={"retention": firm})
    last = firm[-1]
    if last.days == wanted.retention_days:
        return changed
    begins = now if at_once else now + times.change_delay
    if last.since > begins:
        raise ChangeRefused(
            f"a retention of {last.days} days takes effect at {last.since:%Y-%m-%d %H:%M} UTC and "
            "can't be withdrawn now; change the retention after that time",
            value=last.days,
        )
    return changed.changed(wanted.retention_days, begins)


async def prepare(settings: LakeSettings, wanted: Wanted, *, at_once: bool = False) -> Change:
    """Plan a change and count the images that it expires (steps 1 and 2); writes nothing.

    For a store of an earlier version, the change creates its settings; `wanted` must then name the
    retention. Raises StoreMisused, ChangeRefused, StoreUnavailable.
    """
    store = ObjectStore.open(settings, make=False)
    existing = await read_store_settings(store)
    if existing is None:
        await require_data(store, settings)
        if wanted.retention_days is None:
            raise StoreUndecided(
                "an earlier version of Pixlake made the store: set --retention-days first"
            )
    clock = StoreClock(store, existing[0] if existing else _UNKNOWN)
    await clock.fresh()
    now = clock.now()
    if existing is not None:
        changed = plan(clock.settings, wanted, now, at_once=at_once, times=clock.times)
        since = changed.retention[-1].since
    else:
        given = {name: value for name, value in asdict(wanted).items() if value is not None}
        changed, since = StoreSettings.of(settings.model_copy(update=given)), now
    gone = 0
    if changed.retention != clock.settings.retention:
        gone = await _count_gone(store, clock.settings, changed, max(now, since))
    return Change(store, existing, changed, gone)


async def _count_gone(
    store: ObjectStore, kept: StoreSettings, changed: StoreSettings, begins: datetime
) -> int:
    """Count images that are expired at `begins` and would not be without the change."""

    def goes(window_start: datetime) -> bool:
        return changed.expires(window_start) <= begins < kept.expires(window_start)

    count = 0
    batch: list[str] = []
    async for item in image_folders(store, layout.IMAGES):
        # Read every record, because object times of a copied store are not those of its images.
        if isinstance(item, ImageFolder) and item.record is not None:
            batch.append(item.record_key)
        if len(batch) == _READ_AT_ONCE:
            count += sum(map(goes, await _windows(store, batch)))
            batch = []
    return count + sum(map(goes, await _windows(store, batch)))


async def _windows(store: ObjectStore, keys: Sequence[str]) -> list[datetime]:
    answers = zip(keys, await store.read_many(keys), strict=True)
    records = [parse_record(key, data) for key, data in answers if data is not None]
    return [record.window_start for record in records if isinstance(record, ImageRecord)]
