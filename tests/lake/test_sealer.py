import asyncio
import io

import pyarrow.parquet as pq
import pytest

from lake import layout
from lake.commit.journal import Journal
from lake.errors import ImageErased, ImageNotFound
from lake.lake import Lake
from lake.tables.rows import decode_chain_file, erased_ids, to_records
from lake.tables.schema import SCHEMA_VERSION
from tests.lake.clocks import at_age
from tests.lake.samples import TENANT, commit, image_id, image_objects, keys


async def lake_ids(lake: Lake) -> list[str]:
    """Image ids of all rows of the lake, with repetitions."""
    ids: list[str] = []
    for key in sorted(await keys(lake, "lake")):
        data, _ = await lake.store.get(key)
        ids += decode_chain_file(key, data)["image_id"].to_pylist()
    return sorted(ids)


async def test_rows_become_one_file_a_window(lake: Lake) -> None:
    done = await asyncio.gather(*(commit(lake, f"i{n}") for n in range(20)))
    report = await lake.sealer.run_pass(now=True)
    windows = {d.record.window_start for d in done}
    assert (report.rows, report.files, report.failed) == (20, len(windows), 0)
    assert await keys(lake, "journal") == set()
    files = await keys(lake, "lake")
    assert files == {layout.chain_key(window_start, 0) for window_start in windows}
    rows = []
    for key in files:
        data, _ = await lake.store.get(key)
        rows += to_records(decode_chain_file(key, data))
    order = lambda record: record.image_id  # noqa: E731
    assert sorted(rows, key=order) == sorted((d.record for d in done), key=order)


async def test_an_open_window_is_left_alone(lake: Lake) -> None:
    await commit(lake, "a")
    assert (await lake.sealer.run_pass()).windows == 0
    assert (await at_age(lake, seconds=90).sealer.run_pass()).rows == 1


async def test_replays_and_second_passes_add_nothing(lake: Lake) -> None:
    await commit(lake, "a")
    await commit(lake, "b")
    await lake.sealer.run_pass(now=True)
    await commit(lake, "a")
    await commit(lake, "c")
    await lake.sealer.run_pass(now=True)
    await lake.sealer.run_pass(now=True)
    assert await lake_ids(lake) == sorted(map(image_id, "abc"))
    assert await keys(lake, "journal") == set()


async def test_many_sealers_at_once_write_each_row_once(lake: Lake) -> None:
    for n in range(10):
        await commit(lake, f"i{n}")
    await asyncio.gather(*(at_age(lake).sealer.run_pass(now=True) for _ in range(6)))
    await lake.sealer.run_pass(now=True)
    assert await lake_ids(lake) == sorted(image_id(f"i{n}") for n in range(10))
    assert await keys(lake, "journal") == set()


@pytest.mark.parametrize("body", [b"not arrow", b'{"image_id": "a line that is cut'])
async def test_an_unreadable_journal_object_stays_and_harms_nobody(lake: Lake, body: bytes) -> None:
    done = await commit(lake, "a")
    broken = layout.journal_key(done.record.window_start, "broken")
    await lake.store.put(broken, body)
    await lake.sealer.run_pass(now=True)
    assert await lake_ids(lake) == [image_id("a")]
    assert await keys(lake, "journal") == {broken}


async def test_an_unreadable_chain_file_stops_that_window_only(lake: Lake) -> None:
    first = await commit(lake, "a")
    await lake.store.put(layout.chain_key(first.record.window_start, 0), b"not parquet")
    other = at_age(lake, days=1)
    await commit(other, "b")
    report = await other.sealer.run_pass(now=True)
    assert (report.rows, report.failed) == (1, 1)
    left = await keys(lake, "journal")
    assert {key.rsplit("/", 1)[0] for key in left} == {
        layout.journal_prefix(first.record.window_start)
    }


async def test_expired_rows_are_dropped(lake: Lake) -> None:
    await commit(lake, "a")
    later = at_age(lake, days=7, seconds=120)
    await later.sealer.run_pass()
    assert await keys(lake, "journal") == await keys(lake, "lake") == set()


@pytest.mark.parametrize("sealed_first", [True, False])
async def test_an_erased_row_goes_and_never_comes_back(lake: Lake, sealed_first: bool) -> None:
    done = await commit(lake, "a")
    await commit(lake, "b")
    if sealed_first:
        await lake.sealer.run_pass(now=True)
    await lake.eraser.erase(TENANT, image_id("a"))
    assert await image_objects(lake, "a") == {"record.json"}
    with pytest.raises(ImageErased):
        await lake.reader.record(TENANT, image_id("a"))
    await lake.sealer.run_pass(now=True)
    assert await lake_ids(lake) == [image_id("b")]
    # A writer that was paused journals the row once more, after the erasure was sealed.
    await Journal(lake.store).append(done.record)
    await lake.sealer.run_pass(now=True)
    assert await lake_ids(lake) == [image_id("b")]
    noted: set[str] = set()
    for key in await keys(lake, "lake"):
        data, _ = await lake.store.get(key)
        noted |= erased_ids(key, decode_chain_file(key, data, ["image_id"]))
    assert noted == {image_id("a")}


async def test_a_tombstone_is_consumed_once_it_is_an_hour_old(lake: Lake) -> None:
    done = await commit(lake, "a")
    await lake.eraser.erase(TENANT, image_id("a"))
    await lake.sealer.run_pass(now=True)
    assert len(await keys(lake, "journal")) == 1
    await lake.store.put(done.record.original_key, b"from a paused writer")
    await at_age(lake, seconds=3700).sealer.run_pass(now=True)
    assert await keys(lake, "journal") == set()
    assert await image_objects(lake, "a") == {"record.json"}


async def test_nothing_to_erase(lake: Lake) -> None:
    with pytest.raises(ImageNotFound):
        await lake.eraser.erase(TENANT, image_id("nobody"))


async def test_files_are_what_athena_likes(lake: Lake) -> None:
    await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    (key,) = await keys(lake, "lake")
    data, _ = await lake.store.get(key)
    meta = pq.ParquetFile(io.BytesIO(data)).metadata
    column = meta.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.has_column_index
    assert column.statistics is not None
    assert meta.metadata[b"pixlake.schema_version"] == str(SCHEMA_VERSION).encode()
