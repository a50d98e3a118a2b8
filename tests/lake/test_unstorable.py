"""Records that fit no row: refused before they are stored; if stored, no harm to other rows."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.lake_rows import generated
from lake import layout
from lake.audit.scope import Scope
from lake.audit.unfinished import Unfinished
from lake.commit.journal import Journal
from lake.commit.journal_objects import decode_journal, encode_rows
from lake.commit.records import parse_record
from lake.commit.rejections import Refusal
from lake.errors import Fault, UnreadableObject, UnstorableRow
from lake.lake import Lake
from lake.rebuild.in_place import Rebuilder
from lake.seal.hours import unsealed_windows
from lake.settings import LakeSettings
from lake.tables.fitting import proven
from lake.tables.rows import decode_chain_file, to_records, to_table
from lake.tables.schema import IMAGES, ImageRecord
from lake.tables.tables import IMAGE_TABLE
from tests.lake.damage import audit, found
from tests.lake.samples import TENANT, commit, image_id, image_objects, keys, record, rows
from tests.lake.test_rejections import REFUSAL
from tests.lake.test_rejections import rows as rejected_rows

TOO_LONG = 2**63


async def a_record(lake: Lake, name: str, **changes: object) -> ImageRecord:
    return record(await lake.committer.begin(TENANT, image_id(name)), b"pixels", **changes)


async def test_it_is_refused_before_its_record_and_leaves_nothing(lake: Lake) -> None:
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    made = record(attempt, duration_ms=TOO_LONG)
    objects = {made.original_key: b"pixels", made.renditions[0].key: b"small"}
    with pytest.raises(UnstorableRow) as refused:
        await lake.committer.commit(attempt, made, objects)
    assert refused.value.code == "unstorable_row"
    assert await image_objects(lake, "a") == set()
    assert await keys(lake, "journal") == set()
    assert (await commit(lake, "a")).outcome == "created", "its name is free"


@pytest.mark.parametrize(
    "wrong",
    [
        {"taken_at": datetime(2026, 1, 1, microsecond=1)},  # noqa: DTZ001  # a camera's time
        {"taken_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"event_time": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))},
        {"event_time": datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14)))},
    ],
    ids=["microseconds", "a zone", "before all years", "after all years"],
)
async def test_a_time_that_its_column_would_change_is_refused(
    lake: Lake, wrong: dict[str, datetime]
) -> None:
    with pytest.raises(UnstorableRow) as refused:
        proven(await a_record(lake, "a", **wrong))
    assert refused.value.value == next(iter(wrong))


@pytest.mark.parametrize("many", [2, 100])
async def test_it_fails_none_of_those_that_share_its_put(lake: Lake, many: int) -> None:
    good = [await a_record(lake, f"good {n}") for n in range(many)]
    bad = await a_record(lake, "bad", duration_ms=TOO_LONG)
    journal = Journal(lake.store)
    # The journal puts the first row alone and the others together.
    ends = await asyncio.gather(
        *(journal.append(each) for each in [*good[: many // 2], bad, *good[many // 2 :]]),
        return_exceptions=True,
    )
    assert [end for end in ends if end is not None] == [ends[many // 2]]
    assert isinstance(ends[many // 2], UnstorableRow)
    there = []
    for key in await keys(lake, "journal"):
        data, _ = await lake.store.get(key)
        there += to_records(decode_journal(key, data).images)
    assert {each.image_id for each in there} == {each.image_id for each in good}


async def put_as_before(lake: Lake, made: ImageRecord) -> str:
    """Store a record and its objects without a row, as an earlier version did."""
    await lake.store.put(made.original_key, b"pixels")
    await lake.store.put(made.renditions[0].key, b"small")
    key = layout.record_key(TENANT, made.image_id)
    await lake.store.put(key, made.model_dump_json().encode())
    return key


async def test_one_that_an_earlier_version_stored_gets_its_row(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    made = await a_record(lake, "bad", duration_ms=TOO_LONG)
    await put_as_before(lake, made)
    good = await commit(lake, "good")
    report = await Rebuilder(lake, lake_settings, processes=1).run()
    assert (report.failed, report.skipped) == (0, [])
    assert {row.image_id: row.duration_ms for row in await rows(lake)} == {
        made.image_id: None,
        good.record.image_id: None,
    }
    assert found(await audit(lake, lake_settings)) == {}
    assert (await commit(lake, "bad")).outcome == "replayed", "its sender's retry is taken"


async def test_one_that_cannot_be_mended_is_skipped_and_named(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    key = await put_as_before(lake, await a_record(lake, "bad", width=2**31))
    good = await commit(lake, "good")
    for everything in (False, True):
        report = await Rebuilder(lake, lake_settings, processes=1).run(everything=everything)
        assert (report.failed, report.skipped) == (0, [key])
    assert [row.image_id for row in await rows(lake)] == [good.record.image_id]
    assert found(await audit(lake, lake_settings)) == {"unreadable": 1}


def test_only_what_may_be_null_is_read_as_null() -> None:
    data = (
        b'{"kind":"refused","image_id":"a","tenant":"t","window_start":"2026-11-23T10:00Z",'
        b'"refused":{}}'
    )
    parse_record("k", data)
    with pytest.raises(UnreadableObject, match="k"):
        parse_record("k", b"{}")


async def test_the_audit_tells_of_one_that_it_cannot_journal(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    """An audit continues even if a record has a fault that no check above expects."""
    bad, good = await a_record(lake, "bad", duration_ms=TOO_LONG), await a_record(lake, "good")
    unfinished = Unfinished(lake.store, Journal(lake.store), Scope.of(lake_settings, lake.clock))
    assert await unfinished.finish([bad, good]) == {bad.image_id}
    assert len(await keys(lake, "journal")) == 1


async def test_a_rejection_of_another_store_is_named_and_made_anew(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    first = await lake.rejections.note(REFUSAL)
    other = replace(REFUSAL, offset=1)
    said = {"rejection_id": other.rejection_id, "offset": 1, "bytes": 2**63}
    bad = first.model_copy(update=said)
    key = layout.rejection_key(other.rejection_id)
    await lake.store.put(key, bad.model_dump_json().encode())
    report = await Rebuilder(lake, lake_settings, processes=1).run()
    assert report.skipped == [key]
    await lake.rejections.note(other)
    await lake.maintenance.run_pass(now=True)
    said_now = {row["offset"]: row["bytes"] for row in await rejected_rows(lake)}
    assert said_now == {1: REFUSAL.bytes, REFUSAL.offset: REFUSAL.bytes}


async def test_a_limit_of_400_digits_is_a_rejection(lake: Lake) -> None:
    attempt = await lake.committer.begin(TENANT, image_id("a"))
    said = {name: getattr(REFUSAL, name) for name in ("topic", "topic_id", "partition", "offset")}
    refusal = Refusal(
        tenant=TENANT,
        message_time=None,
        bytes=1,
        fault=Fault("truncated", "m", 10**400, "a\x1b[2J\0"),
        image_id=attempt.image_id,
        **said,
    )
    settled = await lake.rejections.settle(refusal)
    await lake.maintenance.run_pass(now=True)
    (row,) = await rejected_rows(lake)
    assert (row["limit"], row["value"]) == (None, r"a\x1b[2J\x00")
    assert row["rejection_id"] == getattr(settled, "rejection_id", None)


async def test_a_hole_in_a_journal_object_stops_no_window(lake: Lake) -> None:
    """An Arrow file may hold a null where a segment can't."""
    good = await commit(lake, "good")
    table = to_table([good.record])
    loose = pa.schema([field.with_nullable(True) for field in IMAGES])
    at = IMAGES.get_field_index("sha256")
    holed = table.cast(loose).set_column(at, loose.field(at), pa.nulls(1, pa.string()))
    await lake.store.put(layout.journal_key(good.record.window_start, "f" * 32), encode_rows(holed))
    report = await lake.sealer.run_pass(now=True)
    assert (report.rows, report.failed, report.unreadable) == (1, 0, 1)


def test_a_row_that_is_no_record_is_left_out_of_a_listing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = to_records(generated(2, seed=1))
    fax = good[0].model_copy(update={"source": "fax"})
    with caplog.at_level(logging.ERROR, "lake.tables.rows"):
        assert to_records(to_table([good[0], fax, good[1]])) == good
    (line,) = map(vars, caplog.records)
    assert line["image_id"] == fax.image_id
    assert "fax" in line["error"]


async def test_a_folder_of_another_name_in_the_journal_stops_nothing(lake: Lake) -> None:
    await lake.store.put("journal/not-a-home/x.jsonl", b"{}")
    good = await commit(lake, "good")
    report = await lake.sealer.run_pass(now=True)
    assert (report.rows, report.failed) == (1, 0)
    assert (await unsealed_windows(lake.store, IMAGE_TABLE)).windows == {}
    page = await lake.reader.page(TENANT, 10)
    assert [each.image_id for each in page.records] == [good.record.image_id]


def test_a_file_whose_column_does_not_convert_is_named_as_unreadable() -> None:
    (one,) = to_records(generated(1, seed=1))
    table = to_table([one])
    at = table.column_names.index("width")
    wide = table.set_column(at, "width", pa.array([2**40]))
    sink = pa.BufferOutputStream()
    pq.write_table(wide, sink)
    with pytest.raises(UnreadableObject, match="the-file"):
        decode_chain_file("the-file", sink.getvalue().to_pybytes())
