"""Sealing of thousands of journal objects of one to three rows, as 16 connections write them.

Measures processor time, not wall time. The store is in memory (`/dev/shm`) if that folder exists,
so that the figures do not depend on a disk.
"""

import asyncio
import gc
import random
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.lake_rows import generated
from lake import layout
from lake.commit.journal_objects import encode_records, extension_of
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.store.object_store import ObjectStore
from lake.tables.rows import to_records

# Rows of a minute at 320 images a second.
ROWS = 19_200
_MOST_ROWS = 3
_MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of our own in it


def small() -> tuple[float, float]:
    """Measure ms of a core: sealing, per image; encoding, per journal object."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        return asyncio.run(_seal(LakeSettings(store_url=Path(folder).as_uri())))


async def _seal(settings: LakeSettings) -> tuple[float, float]:
    # Warm up with one object, because a sealer runs for weeks and first calls do not count.
    await _fill(ObjectStore.open(settings), _window_start(minutes_ago=7), 1)
    lake = await Lake.open(settings)
    await lake.maintenance.run_pass()
    encoded = await _fill(lake.store, _window_start(minutes_ago=5), ROWS)
    begun = time.process_time()
    done = await lake.maintenance.run_pass()
    sealed = (time.process_time() - begun) / ROWS * 1000
    assert done.images.rows == ROWS, done
    return sealed, encoded


async def _fill(store: ObjectStore, window_start: datetime, rows: int) -> float:
    """Fill the journal of a window; returns ms of processor time to encode an object."""
    records = to_records(generated(rows, seed=rows, window_start=window_start))
    gc.freeze()  # exclude the records from garbage collection, which would be counted
    dice = random.Random(rows)
    seconds, objects = 0.0, 0
    while records:
        count = dice.randint(1, _MOST_ROWS)
        some, records = records[:count], records[count:]
        begun = time.thread_time()
        body = encode_records(some)
        seconds += time.thread_time() - begun
        objects += 1
        key = layout.journal_key(window_start, uuid.uuid4().hex, extension=extension_of(body))
        await store.put(key, body)
    return seconds / objects * 1000


def _window_start(minutes_ago: int) -> datetime:
    window = timedelta(minutes=1)
    return layout.window_start_of(datetime.now(UTC) - minutes_ago * window, window)
