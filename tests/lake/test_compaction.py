"""Compaction: closed hours become few files, and readers see each row once at every moment."""

import asyncio
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.lake_rows import generated
from lake import layout
from lake.audit.audit import Audit
from lake.errors import StoreUnavailable
from lake.lake import Lake
from lake.read.views import Views
from lake.seal.compacted import read_footer
from lake.seal.compaction import Compactor
from lake.seal.maintenance import MaintenanceReport
from lake.seal.sizes import SIZES, SealerSizes
from lake.seal.watermark import read_watermark
from lake.settings import LakeSettings
from lake.store.object_store import Buffer, ObjectStore
from lake.tables.row_groups import RowGroups
from lake.tables.rows import decode_chain_file, encode_chain_file
from lake.tables.tables import IMAGE_TABLE
from tests.lake.clocks import at, at_age
from tests.lake.samples import TENANT, commit, image_id, keys

COMPACTED = layout.IMAGE_ROWS.compacted


def seen(settings: LakeSettings) -> Counter[str]:
    """Number of rows that a new reader sees of each image."""
    answer = Views.open(settings).query("SELECT image_id FROM images")
    return Counter(answer["image_id"].to_pylist())


SMALL = SealerSizes(compacted_bytes=1)


async def maintenance(lake: Lake, hours: float, sizes: SealerSizes = SIZES) -> MaintenanceReport:
    """Run a pass `hours` from now, and another 31 minutes later, when a claim may be acted upon."""
    first, second = (at_age(lake, hours=hours, minutes=n, sizes=sizes) for n in (0, 31))
    report = await first.maintenance.run_pass(now=True)
    return report + await second.maintenance.run_pass(now=True)


async def spread(lake: Lake, names: str) -> None:
    """Commit and seal images in windows of their own, a minute apart."""
    for minute, name in enumerate(names):
        await commit(at_age(lake, minutes=minute), name)
    await at_age(lake, minutes=len(names)).sealer.run_pass(now=True)


async def test_a_closed_hour_becomes_one_file_and_is_read_from_it(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await spread(lake, "abcdef")
    chains = await keys(lake, layout.LAKE_IMAGES)
    assert len(chains) >= 6
    before = seen(lake_settings)
    report = await maintenance(lake, 3)
    assert report.compacted.rows == 6
    files = {key for key in await keys(lake, COMPACTED) if key.endswith(".parquet")}
    assert 1 <= len(files) <= 2  # a run may cross the hour
    assert await keys(lake, layout.LAKE_IMAGES) == chains
    assert seen(lake_settings) == before == Counter({image_id(name): 1 for name in "abcdef"})
    # Readers use the copy: without the chains they see the same rows.
    for key in chains:
        await lake.store.delete(key)
    assert seen(lake_settings) == before


async def test_an_hour_that_is_open_is_left_alone(lake: Lake) -> None:
    await commit(lake, "a")
    report = await lake.maintenance.run_pass(now=True)
    assert report.compacted.files == 0
    assert {key for key in await keys(lake, COMPACTED) if key.endswith(".parquet")} == set()


async def test_a_second_pass_has_nothing_to_do(lake: Lake) -> None:
    await spread(lake, "ab")
    await maintenance(lake, 3)
    files = {s.key: s.etag for s in await lake.store.objects(COMPACTED)}
    assert (await maintenance(lake, 3)).compacted.files == 0
    assert {s.key: s.etag for s in await lake.store.objects(COMPACTED)} == files


async def test_a_late_row_comes_into_its_hours_copy(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await spread(lake, "ab")
    late = await lake.committer.begin(TENANT, image_id("late"))
    await maintenance(lake, 3)
    with mock.patch.object(lake.committer, "begin", return_value=late):
        await commit(lake, "late")
    await maintenance(lake, 3.1)
    assert seen(lake_settings) == Counter({image_id(name): 1 for name in ("a", "b", "late")})


async def test_a_late_row_takes_a_claim_back_and_is_seen_all_the_while(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await spread(lake, "ab")
    late = await lake.committer.begin(TENANT, image_id("late"))
    await at_age(lake, hours=3).maintenance.run_pass(now=True)
    with mock.patch.object(lake.committer, "begin", return_value=late):
        await commit(lake, "late")
    await at_age(lake, hours=3, minutes=10).sealer.run_pass(now=True)
    everything = Counter({image_id(name): 1 for name in ("a", "b", "late")})
    for minutes in (10, 31, 62):
        await at_age(lake, hours=3, minutes=minutes).maintenance.run_pass(now=True)
        assert seen(lake_settings) == everything
        moved, _ = await read_watermark(lake.store, layout.IMAGE_ROWS)
        assert (moved.complete_before > late.window_start) == (minutes == 62)


async def test_a_late_row_of_an_hour_without_any_is_seen(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    late = await lake.committer.begin(TENANT, image_id("late"))
    await maintenance(lake, 3)
    with mock.patch.object(lake.committer, "begin", return_value=late):
        await commit(lake, "late")
    await maintenance(lake, 3.1)
    assert seen(lake_settings) == Counter({image_id("late"): 1})


async def test_an_erased_row_leaves_the_copy_in_one_pass(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await spread(lake, "abc")
    await maintenance(lake, 3)
    await at_age(lake, hours=4).eraser.erase(TENANT, image_id("b"))
    await maintenance(lake, 4)
    assert seen(lake_settings) == Counter({image_id("a"): 1, image_id("c"): 1})
    for key in await keys(lake, COMPACTED):
        data, _ = await lake.store.get(key)
        assert image_id("b").encode() not in data
        if key.endswith(".parquet"):
            rows = pq.read_table(pa.BufferReader(data), columns=["image_id"])
            assert image_id("b") not in rows["image_id"].to_pylist()


async def test_a_crash_between_chain_and_copy_is_made_good(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await spread(lake, "ab")
    await maintenance(lake, 3)
    later = at_age(lake, hours=4)
    await later.eraser.erase(TENANT, image_id("b"))
    with mock.patch.object(Compactor, "follow", side_effect=StoreUnavailable("killed")):
        assert (await later.sealer.run_pass(now=True)).failed == 1
    assert seen(lake_settings)[image_id("b")] == 1
    await at_age(lake, hours=4, minutes=1).maintenance.run_pass()
    assert seen(lake_settings) == Counter({image_id("a"): 1})


async def test_an_hour_that_fails_holds_the_watermark_and_is_read_from_its_chains(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await commit(lake, "a")
    await commit(at_age(lake, hours=1), "b")
    await commit(at_age(lake, hours=2), "c")
    await at_age(lake, hours=2).sealer.run_pass(now=True)
    broken = layout.hour_of(
        (await at_age(lake, hours=1).reader.record(TENANT, image_id("b"))).window_start
    )
    replace = ObjectStore.create

    async def create(store: ObjectStore, key: str, data: Buffer) -> str:
        if key.startswith(layout.compacted_prefix(broken)):
            raise StoreUnavailable("the store is away")
        return await replace(store, key, data)

    with mock.patch.object(ObjectStore, "create", create):
        report = await maintenance(lake, 4)
    assert report.compacted.failed == 2  # one in each pass
    everything = Counter({image_id(name): 1 for name in "abc"})
    assert seen(lake_settings) == everything
    assert (await maintenance(lake, 5.1)).failed == 0
    assert seen(lake_settings) == everything
    for key in await keys(lake, layout.LAKE_IMAGES):
        await lake.store.delete(key)
    assert seen(lake_settings) == everything


async def test_compactors_at_once_agree(lake: Lake, lake_settings: LakeSettings) -> None:
    await spread(lake, "abcd")
    await asyncio.gather(*(maintenance(lake, 3, SMALL) for _ in range(4)))
    files = {key for key in await keys(lake, COMPACTED) if key.endswith(".parquet")}
    assert len(files) >= 4
    assert seen(lake_settings) == Counter({image_id(name): 1 for name in "abcd"})


async def test_who_planned_other_cuts_goes_by_those_that_are_there(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    """The first file of an hour fixes where the others begin, also for a later setting."""
    await spread(lake, "abcd")
    await maintenance(lake, 3, SMALL)
    names = {key for key in await keys(lake, COMPACTED) if key.endswith(".parquet")}
    await at_age(lake, hours=4).eraser.erase(TENANT, image_id("c"))
    await maintenance(lake, 4)
    assert {key for key in await keys(lake, COMPACTED) if key.endswith(".parquet")} == names
    assert seen(lake_settings) == Counter({image_id(name): 1 for name in "abd"})


async def test_a_lost_chain_file_does_not_take_its_rows_from_the_copy(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await spread(lake, "ab")
    await maintenance(lake, 3)
    window_start = (await lake.reader.record(TENANT, image_id("a"))).window_start
    await lake.store.delete(layout.chain_key(window_start, 0))
    assert (await maintenance(lake, 4.1)).compacted.failed == 2  # in both passes
    assert seen(lake_settings) == Counter({image_id("a"): 1, image_id("b"): 1})


async def test_copies_go_when_their_rows_are_past_retention(lake: Lake) -> None:
    from lake.retention.sweeper import Sweeper  # noqa: PLC0415

    await spread(lake, "ab")
    await maintenance(lake, 3)
    old = at_age(lake, days=7, hours=2, minutes=1)
    await Sweeper(old.store, old.clock).sweep()
    await old.maintenance.run_pass(now=True)
    assert {key for key in await keys(lake, "lake") if key.endswith(".parquet")} == set()


async def test_row_groups_are_large_and_sorted_and_the_file_has_an_index(tmp_path: Path) -> None:
    settings = LakeSettings(store_url=(tmp_path / "store").as_uri())
    lake = await Lake.open(settings)
    start = datetime(2026, 11, 23, 10, tzinfo=UTC)
    rows = 0
    for minute in range(4):
        window_start = start + timedelta(minutes=minute)
        table = generated(35_000, seed=minute, window_start=window_start)
        rows += len(table)
        body = encode_chain_file(table.sort_by([("received_at", "ascending")]))
        await lake.store.create(layout.chain_key(window_start, 0), body)
    await at(lake, start + timedelta(hours=2)).maintenance.run_pass()
    (key,) = [key for key in await keys(lake, COMPACTED) if key.endswith(".parquet")]
    data, _ = await lake.store.get(key)
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    assert [file.metadata.row_group(n).num_rows for n in range(2)] == [131_072, rows - 131_072]
    for n in range(2):
        group = file.read_row_group(n, columns=[IMAGE_TABLE.time])[IMAGE_TABLE.time]
        times = group.cast(pa.int64()).to_numpy()
        assert (times[1:] >= times[:-1]).all()
        column = file.metadata.row_group(n).column(0)
        assert column.compression == "ZSTD"
        assert column.has_column_index
        assert column.has_offset_index


async def audited(lake: Lake, settings: LakeSettings) -> dict[str, int]:
    """Faults that an audit eight hours from now finds, by code."""
    later = at_age(lake, hours=8)
    report = await Audit(later.store, later.clock, settings, full=True).run()
    return {code: count for code, count in report.counts.items() if count}


async def test_a_lost_file_is_named_at_once_by_the_copy_that_has_it(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await spread(lake, "ab")
    await maintenance(lake, 3)
    lost = min(await keys(lake, layout.LAKE_IMAGES))
    await lake.store.delete(lost)
    later = at_age(lake, hours=8)
    report = await Audit(later.store, later.clock, lake_settings).run()
    assert not report.ok
    assert [fault.subject for fault in report.examples["missing_file"]] == [lost]
    # The audit journaled the lost rows, so the next pass seals and copies all rows again.
    await maintenance(lake, 9)
    assert await audited(lake, lake_settings) == {}
    assert seen(lake_settings) == Counter({image_id(name): 1 for name in "ab"})


async def test_the_audit_compares_copies_with_their_chains(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await spread(lake, "ab")
    await maintenance(lake, 3)
    assert await audited(lake, lake_settings) == {}
    (copy, *_) = sorted(k for k in await keys(lake, COMPACTED) if k.endswith(".parquet"))
    body, stored = await lake.store.get(copy)
    rows = decode_chain_file(copy, body)
    with tempfile.TemporaryFile() as file:
        with RowGroups(file, IMAGE_TABLE) as groups:
            groups.add(pa.concat_tables([rows, rows]))
            groups.close((await read_footer(lake.store, stored)).encode())
        file.seek(0)
        await lake.store.put(copy, file.read())
    assert await audited(lake, lake_settings) == {"wrong_copy": 1}
    await lake.store.put(copy, b"not parquet")
    assert await audited(lake, lake_settings) == {"unreadable": 1}
    await lake.store.delete(copy)
    assert await audited(lake, lake_settings) == {"stale_copy": 1}
