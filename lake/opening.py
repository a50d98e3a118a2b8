"""Opening a store: what it says of itself is read first, and made only by who may make it.

A service makes the store that it is to serve. A verb of the command works on a store that is
there, and makes nothing. A store of an earlier Pixlake has no `store.json`: the service adopts it,
by the retention in its environment; by the default only where nothing in it is older than that.
"""

import logging
from datetime import UTC, datetime, timedelta

from lake import layout
from lake.errors import StoreMissing, StoreUndecided
from lake.object_store import ObjectStore
from lake.probe import probe
from lake.settings import LakeSettings
from lake.store_settings import (
    StoreSettings,
    create_store_settings,
    read_store_settings,
)

log = logging.getLogger(__name__)

# A sweeper is an hour late, S3's lifecycle rules two days; the folder of a day holds its last hour.
_LATE = timedelta(days=3)


async def open_store(
    settings: LakeSettings, *, make: bool, prove: bool = True
) -> tuple[ObjectStore, StoreSettings]:
    """The store and its settings; `make` it where there is none, `prove` that it keeps promises.

    Who only reads need not put the store to the test, which writes to it.

    Raises StoreMisused before anything is written, StoreUntrustworthy, StoreUnavailable, ValueError
    for a bad URL.
    """
    store = ObjectStore.open(settings, make=make)
    found = await read_store_settings(store)
    if found is None:
        wanted = await _settings_to_be(store, settings, make=make)
        await probe(store)
        kept = await create_store_settings(store, wanted)
    else:
        kept = found[0]
    kept.check(settings)
    if found is not None and prove:
        await probe(store)
    return store, kept


async def kept_settings(settings: LakeSettings) -> StoreSettings:
    """What the store says of itself, without a write; raises StoreMisused, StoreUnavailable."""
    store = ObjectStore.open(settings, make=False)
    found = await read_store_settings(store)
    if found is None:
        raise await _without_settings(store, settings)
    found[0].check(settings)
    return found[0]


async def require_data(store: ObjectStore, settings: LakeSettings) -> None:
    """Raise StoreMissing where nothing of ours is."""
    for prefix in (layout.IMAGES, layout.JOURNAL, "lake", layout.REJECTIONS):
        if await store.folders(prefix):
            return
    raise StoreMissing(
        f"there is no lake at {settings.location}: it has no {layout.STORE}. `pixlake up` makes "
        "one; --home, PIXLAKE_HOME or PIXLAKE_STORE_URL says where it is",
        value=settings.location,
    )


async def _settings_to_be(
    store: ObjectStore, settings: LakeSettings, *, make: bool
) -> StoreSettings:
    wanted = StoreSettings.of(settings)
    if not make:
        raise await _without_settings(store, settings)
    oldest = await _oldest_day(store)
    if oldest is None:
        return wanted
    days, now = wanted.last_days, datetime.now(UTC)
    if settings.retention_days is None and wanted.expires(oldest) + _LATE <= now:
        raise StoreUndecided(
            f"the store at {settings.location} is of an earlier Pixlake, and holds rows of "
            f"{oldest:%Y-%m-%d}, which are older than the default retention of {days} days. Say "
            "how long it keeps images: PIXLAKE_RETENTION_DAYS=DAYS",
            limit=days,
            value=(now - oldest).days,
        )
    log.warning("a store of an earlier version is adopted: images are kept for %s days", days)
    return wanted


async def _without_settings(store: ObjectStore, settings: LakeSettings) -> StoreUndecided:
    """What a verb says of a store of an earlier Pixlake; raises StoreMissing, if it is none."""
    await require_data(store, settings)
    return StoreUndecided(
        f"the store at {settings.location} is of an earlier Pixlake, and does not say how long it "
        "keeps images. Start Pixlake on it once, with PIXLAKE_RETENTION_DAYS if that was set, or "
        "say it here: pixlake store set --retention-days DAYS"
    )


async def _oldest_day(store: ObjectStore) -> datetime | None:
    """Start of the day of the oldest rows, sealed or waiting; None where there are none."""
    days = []
    for of in (layout.IMAGE_ROWS, layout.REJECTION_ROWS):
        names = await store.folders(of.chains)
        days += [name.removeprefix("dt=").replace("-", "") for name in names]
        days += [name[:8] for name in await store.folders(of.journal)]
    known = sorted(day for day in days if len(day) == len("20260101") and day.isdecimal())
    return datetime.strptime(known[0], "%Y%m%d").replace(tzinfo=UTC) if known else None
