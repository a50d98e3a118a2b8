"""Page of a listing beside many journal objects that wait for a sealer, as when no sealer runs."""

import asyncio
import statistics
import tempfile
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks.lake_backlog import settings_of
from lake import layout
from lake.commit.journal_objects import encode_records
from lake.commit.records import Attempt
from lake.lake import Lake
from lake.store.object_store import ObjectStore
from lake.tables.tables import IMAGE_TABLE
from tests.lake.samples import image_id, record

# Objects of one image in each window of a minute, as at 17 images a second.
_IN_A_WINDOW = 1000
_LIMIT = 50
_TIMES = 20
_TENANT = "acme"


@dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds of the newest page: the first one of a process, and the median of later ones."""

    first: float
    later: float


def waiting(windows: int) -> Waits:
    """Measure pages while the journals of some windows wait, 1,000 objects each."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(folder, windows))


async def _measure(folder: str, windows: int) -> Waits:
    newest = layout.window_start_of(datetime.now(UTC), timedelta(minutes=1))
    store = ObjectStore.open(settings_of(folder))
    for number in range(windows):
        await _fill(store, newest - timedelta(minutes=number))
    lake = await Lake.open(settings_of(folder))
    first = await _page(lake)
    return Waits(first, statistics.median([await _page(lake) for _ in range(_TIMES)]))


async def _page(lake: Lake) -> float:
    begun = time.perf_counter()
    page = await lake.reader.page(_TENANT, _LIMIT)
    assert len(page.records) == _LIMIT
    return (time.perf_counter() - begun) * 1000


async def _fill(store: ObjectStore, window_start: datetime) -> None:
    for number in range(_IN_A_WINDOW):
        name = image_id(f"{window_start}{number}")
        body = encode_records([record(Attempt(_TENANT, name, window_start))], IMAGE_TABLE)
        await store.put(layout.journal_key(window_start, uuid.uuid4().hex), body)
