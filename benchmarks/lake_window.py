"""Memory and time of a page in a window with many rows, in a process of its own."""

import asyncio
import multiprocessing
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from benchmarks.lake_backlog import settings_of
from benchmarks.lake_rows import generated
from lake import layout
from lake.lake import Lake
from lake.store.object_store import ObjectStore
from lake.tables.rows import encode_chain_file

_PARTS, _PART = 10, 47_000
_LIMIT = 50
_TENANT = "acme"
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Paged:
    """Megabytes that the first pages add to a process, and seconds of the second page."""

    megabytes: float
    seconds: float


def large_window() -> Paged:
    """Measure two pages in a window of 470,000 rows, of which a third are the tenant's."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_fill(folder))
        with multiprocessing.get_context("spawn").Pool(1) as alone:
            return alone.apply(_measure, (folder,))


def _measure(folder: str) -> Paged:
    return asyncio.run(_pages(folder))


async def _pages(folder: str) -> Paged:
    lake = await Lake.open(settings_of(folder))
    await lake.reader.page("nobody", _LIMIT)
    before = _peak()
    first = await lake.reader.page(_TENANT, _LIMIT)
    begun = time.perf_counter()
    second = await lake.reader.page(_TENANT, _LIMIT, first.cursor)
    seconds = time.perf_counter() - begun
    assert len(first.records) == len(second.records) == _LIMIT
    return Paged(_peak() - before, seconds)


def _peak() -> float:
    """Peak memory of this process; `ru_maxrss` would include that of the process that forked it."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


async def _fill(folder: str) -> None:
    store = ObjectStore.open(settings_of(folder))
    window_start = layout.window_start_of(datetime.now(UTC), timedelta(minutes=1))
    parts = [generated(_PART, seed, window_start) for seed in range(_PARTS)]
    rows = pa.concat_tables(parts).sort_by("received_at")
    await store.put(layout.chain_key(window_start, 0), encode_chain_file(rows))
