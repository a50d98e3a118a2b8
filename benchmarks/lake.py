"""Benchmarks of the lake: `python -m benchmarks.lake [NAME...]`.

NAME is seal, small, backlog, journal, query, listing, waiting or window; `listing_10m` runs only if
it is named.
Prints JSON lines {"name", "value", "unit", "must", "aim", "ok"}: `must` is the limit, `aim` the
goal. Sealing runs on one core in a separate process, so that its memory is measured alone. The exit
code is 1 if a figure misses its `must`.
"""

import asyncio
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from benchmarks.lake_backlog import backlog, compaction
from benchmarks.lake_listing import listing
from benchmarks.lake_rows import generated
from benchmarks.lake_small import small
from benchmarks.lake_waiting import waiting
from benchmarks.lake_window import large_window
from lake import layout
from lake.commit.journal import Journal
from lake.commit.journal_objects import encode_rows
from lake.commit.records import Attempt
from lake.lake import Lake
from lake.read.views import Views
from lake.settings import LakeSettings
from lake.store.object_store import Buffer, ObjectStore
from lake.tables import rows
from tests.lake.samples import image_id, record

# Rows of a usual minute, and of a window whose rows do not fit into the memory limit.
_WINDOWS = {"minute": 60_000, "hour": 1_000_000}
_JOURNAL_ROWS = 4096
_QUERY_FILES = 100
_QUERY_ROWS = 100_000
_UPLOADS = 16
_APPENDS = 40
_PUT_SECONDS = 0.03
_SQL = "SELECT dt, hour, format, count(*) FROM images GROUP BY ALL ORDER BY ALL"


def report(name: str, value: float, unit: str, *, must: float, aim: float, low: bool) -> bool:
    """Print one figure; returns True if it meets `must`. `low`: smaller values are better."""
    ok = value <= must if low else value >= must
    line = {"name": name, "value": round(value, 3), "unit": unit, "must": must, "aim": aim}
    print(json.dumps({**line, "ok": ok}), flush=True)
    return ok


def settings_of(folder: str) -> LakeSettings:
    """Settings of a lake in a folder, with windows of an hour."""
    return LakeSettings(store_url=Path(folder).as_uri(), window_seconds=3600)


def seal(first: str, folder: str) -> tuple[int, float, float]:
    """Seal two lakes; returns rows and processor seconds of the second one, and peak MB."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)

    async def work() -> tuple[int, float]:
        # The first lake warms up the process: new memory costs page faults, but a sealer runs for
        # weeks.
        for where in (first, folder):
            lake = await Lake.open(settings_of(where))
            begun = time.process_time()
            done = await lake.sealer.run_pass(now=True)
            assert not done.failed, done
        return done.rows, time.process_time() - begun

    count, seconds = asyncio.run(work())
    return count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def fill_journal(store: ObjectStore, count: int) -> None:
    """Fill the journal of one window like a busy cluster."""
    window_start = layout.window_start_of(datetime.now(UTC), timedelta(hours=1))
    for n in range(0, count, _JOURNAL_ROWS):
        table = generated(
            min(_JOURNAL_ROWS, count - n), seed=n, window_start=window_start, span_ms=3_600_000
        )
        await store.put(layout.journal_key(window_start, uuid.uuid4().hex), encode_rows(table))


def bench_seal() -> bool:
    """Measure sealing: rows a second of one core, and memory."""
    good = True
    for name, count in _WINDOWS.items():
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as folder:
            for where, size in ((first, _WINDOWS["minute"]), (folder, count)):
                asyncio.run(fill_journal(ObjectStore.open(settings_of(where)), size))
            with multiprocessing.get_context("spawn").Pool(1) as alone:
                sealed, seconds, megabytes = alone.apply(seal, (first, folder))
        assert sealed == count
        speed = count / seconds
        good &= report(f"seal_{name}", speed, "rows/s a core", must=150_000, aim=250_000, low=False)
        good &= report(f"seal_{name}_memory", megabytes, "MB", must=512, aim=400, low=True)
    return good


def bench_small() -> bool:
    """Measure sealing and encoding of small journal objects, in ms of processor time."""
    sealed, encoded = small()
    good = report("seal_small", sealed, "ms an image", must=0.3, aim=0.1, low=True)
    return good & report("journal_encode", encoded, "ms an object", must=0.05, aim=0.03, low=True)


def bench_backlog() -> bool:
    """Measure sealing of a day's journal and compaction of an hour: rows a second, memory."""
    count, seconds, megabytes = backlog()
    # Windows of 720 rows, so most of the time is the fixed cost of a window.
    speed, unit = count / seconds, "rows/s a core"
    good = report("backlog_day", speed, unit, must=20_000, aim=50_000, low=False)
    good &= report("backlog_day_memory", megabytes, "MB", must=512, aim=400, low=True)
    count, seconds, megabytes = compaction()
    speed = count / seconds
    good &= report("compaction_hour", speed, unit, must=50_000, aim=100_000, low=False)
    # Memory holds a row group twice, and a file of 128 MB during its PUT.
    return good & report("compaction_hour_memory", megabytes, "MB", must=1024, aim=512, low=True)


class DistantStore(ObjectStore):
    """Store in memory with the PUT latency of S3."""

    took: ClassVar[list[float]] = []
    """seconds of each PUT"""

    async def put(self, key: str, data: Buffer) -> str:
        """Store an object after the latency of S3."""
        begun = time.perf_counter()
        await asyncio.sleep(_PUT_SECONDS)
        etag = await super().put(key, data)
        self.took.append(time.perf_counter() - begun)
        return etag


async def append_seconds() -> list[float]:
    """Measure how long rows of concurrent uploads wait for the journal, in seconds."""
    journal = Journal(DistantStore.open(LakeSettings(store_url="memory://")))
    window_start = layout.window_start_of(datetime.now(UTC), timedelta(minutes=1))
    waited: list[float] = []

    async def upload(number: int) -> None:
        for turn in range(_APPENDS):
            await asyncio.sleep((number * 7 + turn * 11) % 40 / 1000)  # other PUTs of the upload
            made = record(Attempt("acme", image_id(f"{number}-{turn}"), window_start))
            begun = time.perf_counter()
            await journal.append(made)
            waited.append(time.perf_counter() - begun)

    await asyncio.gather(*map(upload, range(_UPLOADS)))
    return waited


def bench_journal() -> bool:
    """Measure the time that the journal adds to an upload, beyond the latency of one PUT."""
    waited = statistics.quantiles(asyncio.run(append_seconds()), n=100)
    took = statistics.quantiles(DistantStore.took, n=100)
    median, p99 = ((waited[n] - took[n]) * 1000 for n in (49, 98))
    good = report("journal_append_median", median, "ms + 1 PUT", must=10, aim=5, low=True)
    return good & report("journal_append_p99", p99, "ms + 1 PUT", must=10, aim=8, low=True)


async def fill_lake(store: ObjectStore) -> None:
    """Write a chain file for each of the last hours, with the same rows, which the query counts."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    body = rows.encode_chain_file(generated(_QUERY_ROWS, seed=1, window_start=now))
    for n in range(_QUERY_FILES):
        await store.put(layout.chain_key(now - timedelta(hours=n), 0), body)


def bench_query() -> bool:
    """Measure a DuckDB query that counts ten million rows by hour and format."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(fill_lake(ObjectStore.open(settings_of(folder))))
        seconds = []
        for _ in range(3):
            begun = time.perf_counter()
            answer = Views.open(settings_of(folder)).query(_SQL)
            seconds.append(time.perf_counter() - begun)
            assert sum(answer.column(3).to_pylist()) == _QUERY_FILES * _QUERY_ROWS
    return report("query_10m_rows", min(seconds), "s", must=1, aim=0.5, low=True)


def bench_listing(rows_of_others: int = 1_000_000) -> bool:
    """Measure listings of a tenant without images, and of one with six, beside many rows."""
    took, name = listing(rows_of_others), f"beside_{rows_of_others // 10**6}m"
    good = report(f"listing_none_{name}", took.none, "ms", must=50, aim=10, low=True)
    good &= report(f"listing_six_{name}", took.few, "ms", must=500, aim=100, low=True)
    # The first listing of a process reads the index.
    return good & report(f"listing_first_{name}", took.first, "ms", must=5000, aim=2000, low=True)


def bench_listing_10m() -> bool:
    """Measure the same beside ten million rows, which take 8 GB of disk."""
    return bench_listing(10_000_000)


def bench_waiting() -> bool:
    """Measure the newest page while one window of the journal waits, and while ten wait."""
    one, ten = waiting(1), waiting(10)
    good = report("listing_waiting_first", ten.first, "ms", must=5000, aim=1000, low=True)
    good &= report("listing_waiting", ten.later, "ms", must=500, aim=100, low=True)
    ratio = ten.later / one.later
    return good & report("listing_ten_windows_to_one", ratio, "x", must=2, aim=1.2, low=True)


def bench_window() -> bool:
    """Measure a page in a window of 470,000 rows."""
    paged = large_window()
    good = report("listing_window_memory", paged.megabytes, "MB", must=400, aim=250, low=True)
    return good & report("listing_window", paged.seconds, "s", must=5, aim=1, low=True)


if __name__ == "__main__":
    sealing = [bench_seal, bench_small, bench_backlog, bench_journal]
    usual = [*sealing, bench_query, bench_listing, bench_waiting, bench_window]
    every = [*usual, bench_listing_10m]
    asked = sys.argv[1:] or [bench.__name__[6:] for bench in usual]
    results = [bench() for bench in every if bench.__name__[6:] in asked]
    sys.exit(not all(results))
