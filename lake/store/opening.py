"""Opening of a store: reads its settings first, and creates it only if the caller may.

A service creates the store that it serves. A command works on an existing store and creates
nothing. A store of an earlier version has no `store.json`: the service adopts it with the retention
of its environment, or with the default if nothing in the store is older than that.
"""

from datetime import UTC, datetime, timedelta

from lake import layout
from lake.errors import KeyMissing, OldColumns, StoreMissing, StoreUndecided
from lake.logs import logger
from lake.old_columns import refuse_old_json
from lake.settings import LakeSettings
from lake.store.object_store import ObjectStore
from lake.store.probe import probe
from lake.store.store_settings import (
    StoreSettings,
    create_store_settings,
    read_store_settings,
    too_old,
)
from lake.timing import TIMES

log = logger(__name__)

# S3's lifecycle rules delete later than a sweeper, and the folder of a day contains its last hour.
_LATE = TIMES.lifecycle + timedelta(days=1)


async def open_store(
    settings: LakeSettings, *, make: bool, prove: bool = True
) -> tuple[ObjectStore, StoreSettings]:
    """Open a store and read its settings.

    `make` creates a missing store. `prove` runs the start-up probe, which writes to the store;
    readers do not need it. Raises StoreMisused before anything is written, StoreUntrustworthy,
    StoreUnavailable, ValueError for a bad URL.
    """
    store = ObjectStore.open(settings, make=make)
    existing = await read_store_settings(store)
    if existing is None:
        await _refuse_old(store)
        wanted = await _settings_to_be(store, settings, make=make)
        await probe(store)
        kept = await create_store_settings(store, wanted)
    else:
        kept = existing[0]
    kept.check(settings)
    if existing is not None and prove:
        await probe(store)
    return store, kept


async def kept_settings(settings: LakeSettings) -> StoreSettings:
    """Read the settings of a store without a write; raises StoreMisused, StoreUnavailable."""
    store = ObjectStore.open(settings, make=False)
    existing = await read_store_settings(store)
    if existing is None:
        await _refuse_old(store)
        raise await _without_settings(store, settings)
    existing[0].check(settings)
    return existing[0]


async def require_data(store: ObjectStore, settings: LakeSettings) -> None:
    """Raise StoreMissing if the location contains no data of Pixlake."""
    for prefix in (layout.IMAGES, layout.JOURNAL, "lake", layout.REJECTIONS):
        if await store.folders(prefix):
            return
    raise StoreMissing(
        f"there is no lake at {settings.location}: it has no {layout.STORE}. `pixlake up` creates "
        "one; set its location with --home, PIXLAKE_HOME or PIXLAKE_STORE_URL",
        value=settings.location,
    )


async def _refuse_old(store: ObjectStore) -> None:
    """Raise StoreTooOld if the first record has the column names of before 0.1.0."""
    folder = layout.IMAGES
    for _ in range(layout.RECORD_DEPTH):
        if not (names := await store.folders(folder)):
            return
        folder = f"{folder}/{names[0]}"
    key = f"{folder}/{layout.RECORD}"
    try:
        data, _ = await store.get(key)
        refuse_old_json("record", key, data)
    except KeyMissing:
        return
    except OldColumns as error:
        raise too_old(error.message) from error


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
            f"an earlier version of Pixlake made the store at {settings.location}, and it has rows "
            f"of {oldest:%Y-%m-%d}, which are older than the default retention of {days} days. Set "
            "its retention: PIXLAKE_RETENTION_DAYS=DAYS",
            limit=days,
            value=(now - oldest).days,
        )
    log.warning("a store of an earlier version is adopted", retention_days=days)
    return wanted


async def _without_settings(store: ObjectStore, settings: LakeSettings) -> StoreUndecided:
    """Error for a store of an earlier version; raises StoreMissing if there is no store."""
    await require_data(store, settings)
    return StoreUndecided(
        f"an earlier version of Pixlake made the store at {settings.location}, so its retention is "
        "unknown. Start Pixlake on it once, with PIXLAKE_RETENTION_DAYS if that was set before, or "
        "set it: pixlake store set --retention-days DAYS"
    )


async def _oldest_day(store: ObjectStore) -> datetime | None:
    """Start of the day of the oldest rows, sealed or waiting; None without rows."""
    days = []
    for of in (layout.IMAGE_ROWS, layout.REJECTION_ROWS):
        names = await store.folders(of.chains)
        days += [name.removeprefix("dt=").replace("-", "") for name in names]
        days += [name[:8] for name in await store.folders(of.journal)]
    known = sorted(day for day in days if len(day) == len("20260101") and day.isdecimal())
    return datetime.strptime(known[0], "%Y%m%d").replace(tzinfo=UTC) if known else None
