"""Audit of a sound lake, and of lakes that each break one promise."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from lake import layout
from lake.audit.audit import Audit
from lake.commit.journal import Journal
from lake.commit.journal_objects import encode_records
from lake.lake import Lake
from lake.settings import LakeSettings
from lake.store.folders import shards
from lake.tables.schema import ImageRecord
from tests.lake.clocks import at_age
from tests.lake.conftest import settings_for
from tests.lake.damage import (
    Damage,
    add_a_row_of_nobody,
    audit,
    break_a_file,
    break_a_record,
    break_the_journal,
    cut_an_object,
    double_a_row,
    double_a_row_beside_the_chain,
    erase_by_hand,
    flip_a_byte,
    found,
    leave_the_journal,
    lose_a_record,
    lose_an_object,
    make_a_hole,
    move_a_file,
    put_back_what_was_erased,
    swap_records,
    take_over_without_its_row,
)
from tests.lake.samples import TENANT, commit, image_id, keys, record


@pytest.fixture
async def sealed(lake: Lake) -> list[ImageRecord]:
    """Three images and their rows."""
    done = [await commit(lake, name) for name in "abc"]
    await lake.sealer.run_pass(now=True)
    return [one.record for one in done]


async def test_a_sound_lake_passes(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    for after in (timedelta(0), timedelta(hours=3), timedelta(days=6, hours=20)):
        report = await audit(lake, lake_settings, after=after)
        assert found(report) == {}
        assert report.ok
        assert (report.seen.images, report.seen.hashed, report.rows.rows) == (3, 3, 3)
        assert report.seen.hashed_bytes == sum(r.bytes + 5 for r in sealed)
    said = json.loads(json.dumps(report.document()))
    assert said["ok"] is True
    assert said["checks"]["missing_row"]["found"] == 0


async def test_an_empty_lake_passes(lake: Lake, lake_settings: LakeSettings) -> None:
    assert (await audit(lake, lake_settings)).ok


async def test_what_is_under_way_is_no_fault(lake: Lake, lake_settings: LakeSettings) -> None:
    await commit(lake, "waits in the journal")
    attempt = await lake.committer.begin(TENANT, image_id("being uploaded"))
    made = record(attempt)
    await lake.store.put(made.original_key, b"pixels")
    report = await audit(lake, lake_settings, after=timedelta(0))
    assert (found(report), report.rows.waiting) == ({}, 1)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lose_an_object, {"missing_object": 1}),
        (flip_a_byte, {"wrong_bytes": 1}),
        (cut_an_object, {"wrong_bytes": 2}),
        (break_a_record, {"unreadable": 1, "row_without_image": 1}),
        (swap_records, {"unreadable": 1, "row_without_image": 1}),
        (lose_a_record, {"row_without_image": 1}),
        (double_a_row, {"duplicate_row": None}),
        (double_a_row_beside_the_chain, {"duplicate_row": None, "orphan": 1}),
        (add_a_row_of_nobody, {"row_without_image": 1}),
        (take_over_without_its_row, {"row_differs": 1}),
        (break_a_file, {"unreadable": 1, "unfinished": None}),
        (make_a_hole, {"missing_file": None}),
        (move_a_file, {"misplaced": 1}),
        (leave_the_journal, {"stale_journal": 1}),
        (break_the_journal, {"unreadable": 1}),
        (erase_by_hand, {"erased_row": 1}),
        (put_back_what_was_erased, {"erased_object": 1}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_each_broken_promise_is_named(
    lake: Lake,
    lake_settings: LakeSettings,
    sealed: list[ImageRecord],
    damage: Damage,
    expected: dict[str, int | None],
) -> None:
    image = sealed[0]
    await damage(lake, image)
    report = await audit(lake, lake_settings)
    assert not report.ok
    counts = found(report)
    assert set(counts) == set(expected)
    assert {code: counts[code] for code, n in expected.items() if n is not None} == {
        code: n for code, n in expected.items() if n is not None
    }
    # Every fault is named, by key or by id.
    for code, number in counts.items():
        assert len(report.examples[code]) == number
        assert all(fault.subject for fault in report.examples[code])


async def test_orphans_are_named_once_they_are_a_day_old(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    await lake.store.put(
        layout.object_key(TENANT, sealed[0].image_id, "320", "f" * 16, "jpg"), b"of a loser"
    )
    await lake.store.put(
        layout.object_key(TENANT, image_id("nobody"), "original", "e" * 16, "jpg"), b"of a crash"
    )
    await lake.store.put("images/what/is/this", b"?")
    await lake.store.put("probe/left", b"")
    assert found(await audit(lake, lake_settings)) == {}
    report = await audit(lake, lake_settings, after=timedelta(hours=25))
    assert found(report) == {"orphan": 4}


async def test_what_is_past_its_retention_and_margin_is_named(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    on_time = timedelta(days=7, minutes=2)
    assert found(await audit(lake, lake_settings, after=on_time)) == {}
    await lake.store.put(
        layout.journal_key(sealed[0].window_start, "left"), encode_records(sealed[:1])
    )
    late = timedelta(days=2, minutes=5) if "s3:" in lake_settings.location else timedelta(hours=3.1)
    report = await audit(lake, lake_settings, after=timedelta(days=7) + late)
    windows = len({image.window_start for image in sealed})
    assert found(report) == {"overdue": 3 + windows + 1}


async def test_an_image_without_a_row_is_finished_once_and_a_fault_the_next_time(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    del sealed
    attempt = await lake.committer.begin(TENANT, image_id("crashed"))
    made = record(attempt)
    await lake.store.put(made.original_key, b"pixels")
    await lake.store.put(made.renditions[0].key, b"small")
    await lake.store.create(
        layout.record_key(TENANT, made.image_id), made.model_dump_json().encode()
    )

    report = await audit(lake, lake_settings)
    assert found(report) == {"unfinished": 1}
    assert report.ok
    # The audit journaled the row, which waits for a sealer; now the journal object is lost.
    (journaled,) = await keys(lake, "journal")
    await lake.store.delete(journaled)
    report = await audit(lake, lake_settings)
    assert found(report) == {"missing_row": 1}
    assert not report.ok
    # This time the row is sealed, and the audit deletes its note of the unfinished image.
    await lake.sealer.run_pass(now=True)
    assert found(await audit(lake, lake_settings)) == {}
    assert await keys(lake, layout.UNFINISHED) == set()


async def test_lost_rows_come_back(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    for window_start in {image.window_start for image in sealed}:
        await lake.store.delete(layout.chain_key(window_start, 0))
    assert found(await audit(lake, lake_settings)) == {"unfinished": 3}
    await lake.sealer.run_pass(now=True)
    assert found(await audit(lake, lake_settings)) == {}


async def test_an_erasure_under_way_is_no_fault(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    await lake.eraser.erase(TENANT, sealed[0].image_id)
    now = timedelta(0)
    assert found(await audit(lake, lake_settings, after=now)) == {}
    await lake.sealer.run_pass(now=True)
    assert found(await audit(lake, lake_settings, after=now)) == {}
    # No sealer has consumed the tombstone for hours, so the sealer must be dead.
    assert found(await audit(lake, lake_settings)) == {"stale_journal": 1}
    await at_age(lake, seconds=3700).sealer.run_pass(now=True)
    report = await audit(lake, lake_settings)
    assert (found(report), report.seen.tombstones) == ({}, 1)


async def test_a_replay_in_the_journal_is_not_a_second_row(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    await Journal(lake.store).append(sealed[0])
    assert found(await audit(lake, lake_settings, after=timedelta(0))) == {}


async def test_a_range_leaves_the_rest_alone(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    await lose_an_object(lake, sealed[0])
    later = at_age(lake, seconds=3 * 86_400)
    run = Audit(later.store, later.clock, lake_settings, full=True, processes=1).run
    first = min(image.window_start for image in sealed)
    assert not (await run(first, first + timedelta(minutes=2))).ok
    assert (await run(first + timedelta(minutes=2), None)).ok
    assert (await run(None, first)).ok


async def test_a_sample_is_hashed_as_large_as_asked(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    for image in sealed:
        await flip_a_byte(lake, image)
    for sample in (0, 2, 10):
        run = Audit(lake.store, lake.clock, lake_settings, sample=sample, processes=1).run
        report = await run()
        assert report.seen.hashed == report.counts["wrong_bytes"] == min(sample, 3)


async def test_several_processes_see_what_one_sees(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = settings_for("folder", tmp_path, request)
    lake = await Lake.open(settings)
    done = [await commit(lake, f"i{n}") for n in range(500)]
    assert len(await shards(lake.store)) >= 200
    await lake.sealer.run_pass(now=True)
    await flip_a_byte(lake, done[7].record)
    await lose_an_object(lake, done[8].record)
    run = Audit(lake.store, lake.clock, settings, full=True, processes=2).run
    report = await run()
    assert found(report) == {"wrong_bytes": 1, "missing_object": 1}
    assert (report.seen.images, report.seen.hashed, report.seen.objects) == (500, 500, 999)
    sampled = await Audit(lake.store, lake.clock, settings, sample=40, processes=2).run()
    assert sampled.seen.hashed == 40
