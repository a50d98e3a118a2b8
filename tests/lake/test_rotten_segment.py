"""Segments that do not parse: their hour is compacted all the same, and the watermark passes it."""

import logging
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from lake.errors import UnreadableObject
from lake.lake import Lake
from lake.read.views import Views
from lake.seal.watermark import read_watermark
from lake.settings import LakeSettings
from lake.tables.rows import decode_chain_file
from lake.tables.tables import IMAGE_TABLE
from pixlake_server.cli.erasing import erase_images
from tests.lake.clocks import at_age
from tests.lake.damage import audit, found
from tests.lake.samples import TENANT, commit, image_id


def seen(settings: LakeSettings) -> set[str]:
    found = Views.open(settings).query("SELECT image_id FROM images").to_pylist()
    return {row["image_id"] for row in found}


async def two_windows(lake: Lake) -> str:
    """Seal an image, then one two hours later; returns the key of the first one's segment."""
    first = (await commit(lake, "a")).record
    await at_age(lake, minutes=2).sealer.run_pass(now=True)
    await commit(at_age(lake, hours=2), "b")
    await at_age(lake, hours=2, minutes=5).sealer.run_pass(now=True)
    files = await lake.store.objects(IMAGE_TABLE.folders.chains)
    name = f"{first.window_start:%Y%m%dT%H%M%SZ}-0.parquet"
    return next(file.key for file in files if file.key.endswith(name))


@pytest.mark.parametrize("kept", [0, 4, -50])
async def test_a_cut_segment_holds_no_hour(
    lake: Lake, lake_settings: LakeSettings, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    segment = await two_windows(lake)
    whole, _ = await lake.store.get(segment)
    await lake.store.put(segment, whole[:kept])
    with caplog.at_level(logging.WARNING):
        first = await at_age(lake, hours=5).maintenance.run_pass()
    assert (first.compacted.failed, first.compacted.incomplete, first.compacted.rows) == (0, 1, 1)
    named = [r for r in caplog.records if "segments that do not parse" in r.message]
    assert [segment.rsplit("/", 1)[-1] in str(record.__dict__) for record in named] == [True]
    await at_age(lake, hours=6).maintenance.run_pass()
    mark, _ = await read_watermark(lake.store, IMAGE_TABLE.folders)
    assert mark.complete_before > lake.clock.now()
    assert seen(lake_settings) == {image_id("b")}
    await lake.store.put(segment, whole)
    healed = await at_age(lake, hours=8).maintenance.run_pass()
    assert (healed.compacted.incomplete, healed.compacted.rows) == (0, 1)
    assert seen(lake_settings) == {image_id("a"), image_id("b")}


async def test_a_copy_keeps_the_rows_of_a_segment_that_is_cut_later(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    segment = await two_windows(lake)
    for hours in (5, 6):
        await at_age(lake, hours=hours).maintenance.run_pass()
    await lake.store.put(segment, b"")
    report = await at_age(lake, hours=8).maintenance.run_pass()
    assert (report.compacted.failed, report.compacted.rows) == (0, 1)
    assert seen(lake_settings) == {image_id("a"), image_id("b")}
    assert found(await audit(lake, lake_settings, after=timedelta(hours=9)))["unreadable"] == 1


async def test_an_erased_row_does_not_come_back_from_the_copy(
    lake: Lake, lake_settings: LakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The segment is read damaged once, when the copy is made after an erasure."""
    for name in "ab":
        await commit(lake, name)
    for hours in (0.1, 2.5, 3.5):
        await at_age(lake, hours=hours).maintenance.run_pass(now=True)
    later = at_age(lake, hours=4)
    await later.eraser.erase(TENANT, image_id("a"))
    damaged: list[str] = []

    def once(key: str, *args: Any, **options: Any) -> pa.Table:
        if not damaged:
            damaged.append(key)
            raise UnreadableObject("damaged in transit", value=key)
        return decode_chain_file(key, *args, **options)

    monkeypatch.setattr("lake.seal.copy_writer.decode_chain_file", once)
    for hours in (4, 6, 8):
        await at_age(lake, hours=hours).maintenance.run_pass(now=True)
    assert damaged
    assert seen(lake_settings) == {image_id("b")}


async def test_erasures_name_an_hour_that_lacks_rows(lake: Lake) -> None:
    segment = await two_windows(lake)
    await lake.store.put(segment, b"")
    await at_age(lake, hours=5).maintenance.run_pass()
    failures, unfinished = await erase_images(at_age(lake, hours=6), [(TENANT, image_id("b"))])
    assert failures == {}
    assert "not_complete" in unfinished.values()
