"""Listing of a tenant without images, and of one with few, beside many rows of other tenants."""

import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from benchmarks.lake_backlog import settings_of
from benchmarks.lake_rows import generated
from lake import layout
from lake.commit.journal_objects import encode_rows
from lake.lake import Lake
from lake.seal.watermark import Watermark, read_watermark, write_watermark
from lake.store.object_store import ObjectStore
from lake.tables.rows import encode_chain_file
from lake.tables.tables import IMAGE_TABLE

# Six days of windows, of which each tenth minute has rows; the last hours are not compacted.
_HOURS, _A_WINDOW = 144, timedelta(minutes=10)
_OPEN_HOURS = 3
_WAITING = 2000
_TIMES = 50
_FEW = "few"


@dataclass(frozen=True, slots=True)
class Listed:
    """Milliseconds of pages: the first one of a process, and the median of later ones."""

    first: float
    none: float
    few: float


def listing(count: int) -> Listed:
    """Measure pages in a lake with `count` rows of other tenants."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(folder, count))


async def _measure(folder: str, count: int) -> Listed:
    now = layout.hour_of(datetime.now(UTC))
    await _fill(ObjectStore.open(settings_of(folder)), count, now)
    lake = await Lake.open(settings_of(folder))
    compactor = lake.maintenance.of(IMAGE_TABLE).compactor
    while (report := await compactor.run_pass()).left:
        assert not report.failed, report
    _, etag = await read_watermark(lake.store, layout.IMAGE_ROWS)
    mark = Watermark(now - _OPEN_HOURS * layout.HOUR)
    await write_watermark(lake.store, layout.IMAGE_ROWS, mark, etag)
    fresh = await Lake.open(settings_of(folder))
    first = await _page(fresh, "nobody", images=0)
    none = [await _page(fresh, "nobody", images=0) for _ in range(_TIMES)]
    await _page(fresh, _FEW, images=_HOURS // 24)
    few = [await _page(fresh, _FEW, images=_HOURS // 24) for _ in range(_TIMES)]
    return Listed(first, statistics.median(none), statistics.median(few))


async def _page(lake: Lake, tenant: str, images: int) -> float:
    """List all images of a tenant; returns the milliseconds."""
    begun = time.perf_counter()
    page = await lake.reader.page(tenant, 200)
    found = len(page.records)
    while page.cursor is not None:
        page = await lake.reader.page(tenant, 200, page.cursor)
        found += len(page.records)
    assert found == images, (found, images)
    return (time.perf_counter() - begun) * 1000


async def _fill(store: ObjectStore, count: int, now: datetime) -> None:
    """Write the chains of six days; one row a day is of the tenant with few images."""
    windows = _HOURS * (layout.HOUR // _A_WINDOW)
    rows = generated(count // windows, seed=1)
    for number in range(windows):
        table = _moved(rows, now - number * _A_WINDOW)
        if number % (windows // (_HOURS // 24)) == 0:
            table = _with_one_of(table, _FEW)
        body = await asyncio.to_thread(encode_chain_file, table)
        await store.put(layout.chain_key(now - number * _A_WINDOW, 0), body)
    waiting = encode_rows(_moved(generated(_WAITING, seed=2), now + _A_WINDOW))
    await store.put(layout.journal_key(now + _A_WINDOW, "waiting"), waiting)


def _moved(rows: pa.Table, window_start: datetime) -> pa.Table:
    """Move rows to a window; ids repeat, which no listing of others notices."""
    kind = rows.schema.field("window_start").type
    column = pa.repeat(pa.scalar(window_start, kind), len(rows))
    at = rows.schema.get_field_index("window_start")
    return rows.set_column(at, rows.schema.field(at), column)


def _with_one_of(rows: pa.Table, tenant: str) -> pa.Table:
    names = np.array(rows["tenant"].to_pylist())
    names = np.where(np.arange(len(names)) == 0, tenant, names)
    at = rows.schema.get_field_index("tenant")
    return rows.set_column(at, rows.schema.field(at), pa.array(names.tolist()))
