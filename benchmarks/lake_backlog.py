"""Sealing of a day's journal after a day without a sealer, and compaction of a full hour.

Each runs in a separate process on one core, so that its memory is measured alone. The memory must
not grow with the number of waiting rows.
"""

import asyncio
import multiprocessing
import os
import resource
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from benchmarks.lake_rows import generated
from lake import layout
from lake.commit.journal_objects import encode_rows
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.store.object_store import ObjectStore
from lake.tables import rows
from lake.tables.tables import IMAGE_TABLE

# Windows of a minute for a day, at 12 images a second; two journal objects per window.
DAY_HOMES = 1440
HOME_ROWS = 720
# An hour at 280 images a second, whose compacted copy is several files of 128 MB.
HOUR_HOMES = 60
HOUR_ROWS = 1_000_000

Measured = tuple[int, float, float]
"""rows, seconds of processor time, peak megabytes of the process"""


def settings_of(folder: str) -> LakeSettings:
    """Settings of a lake in a folder, with defaults."""
    return LakeSettings(store_url=Path(folder).as_uri())


def measure(work: Callable[[str], Measured], fill: Callable[[str], object]) -> Measured:
    """Fill a folder, then call `work` on it in another process."""
    with tempfile.TemporaryDirectory() as folder:
        fill(folder)
        with multiprocessing.get_context("spawn").Pool(1) as alone:
            return alone.apply(work, (folder,))


def backlog() -> Measured:
    """Measure the sealing of a day's journal."""
    return measure(_catch_up, lambda folder: asyncio.run(_fill_day(folder)))


def compaction() -> Measured:
    """Measure the compaction of a closed hour with many rows."""
    return measure(_compact, lambda folder: asyncio.run(_fill_hour(folder)))


def _catch_up(folder: str) -> Measured:
    async def work() -> tuple[int, float]:
        lake = await Lake.open(settings_of(folder))
        begun, done = time.process_time(), await lake.sealer.run_pass()
        while done.left:
            done += await lake.sealer.run_pass()
        assert not done.failed, done
        return done.rows, time.process_time() - begun

    return _alone(work)


def _compact(folder: str) -> Measured:
    async def work() -> tuple[int, float]:
        lake = await Lake.open(settings_of(folder))
        begun = time.process_time()
        done = await lake.maintenance.of(IMAGE_TABLE).compactor.run_pass()
        assert not done.failed, done
        return done.rows, time.process_time() - begun

    return _alone(work)


def _alone(work: Callable[[], Coroutine[None, None, tuple[int, float]]]) -> Measured:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    count, seconds = asyncio.run(work())
    return count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _fill_day(folder: str) -> None:
    """Fill the journal with a day whose last window closed two hours ago."""
    store = ObjectStore.open(settings_of(folder))
    start = _hour(ago=26)
    for minute in range(DAY_HOMES):
        window_start = start + timedelta(minutes=minute)
        table = generated(HOME_ROWS, seed=minute, window_start=window_start)
        for part in (table.slice(0, HOME_ROWS // 2), table.slice(HOME_ROWS // 2)):
            await store.put(layout.journal_key(window_start, uuid.uuid4().hex), encode_rows(part))


async def _fill_hour(folder: str) -> None:
    store = ObjectStore.open(settings_of(folder))
    start = _hour(ago=3)
    each = HOUR_ROWS // HOUR_HOMES
    for minute in range(HOUR_HOMES):
        window_start = start + timedelta(minutes=minute)
        table = generated(each, seed=minute, window_start=window_start).sort_by(
            [("received_at", "ascending")]
        )
        await store.put(layout.chain_key(window_start, 0), rows.encode_chain_file(table))


def _hour(ago: int) -> datetime:
    return layout.hour_of(datetime.now(UTC)) - timedelta(hours=ago)
