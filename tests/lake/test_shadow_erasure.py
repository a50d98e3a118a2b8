"""Erasures while a shadow lake exists that has not replaced the lake."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from lake import layout
from lake.errors import StoreDenied
from lake.lake import Lake
from lake.rebuild.cutover import Cutover
from lake.rebuild.expected_rows import ExpectedRows, Found, Name
from lake.rebuild.shadow_lake import build
from lake.settings import LakeSettings
from lake.store.object_store import Buffer
from lake.tables.rows import decode_chain_file
from tests.lake.clocks import TestMachine, at_age, lake_on
from tests.lake.damage import audit, found
from tests.lake.samples import TENANT, commit, image_id, rows


async def built(lake: Lake, settings: LakeSettings) -> None:
    """Commit two images, and build a shadow lake with both rows."""
    for name in "ab":
        await commit(lake, name)
    await lake.maintenance.run_pass(now=True)
    await build(lake, settings, processes=1)
    assert await shadow_ids(lake) == {image_id("a"), image_id("b")}


async def shadow_ids(lake: Lake) -> set[str]:
    ids: set[str] = set()
    for stored in await lake.store.objects(layout.rebuilt_rows("images").chains):
        data, _ = await lake.store.get(stored.key)
        ids |= set(decode_chain_file(stored.key, data)["image_id"].to_pylist())
    return ids


async def test_the_row_of_an_erased_image_leaves_the_shadow_lake(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await built(lake, lake_settings)
    await lake.eraser.erase(TENANT, image_id("a"))
    await lake.maintenance.run_pass(now=True)
    assert await shadow_ids(lake) == {image_id("b")}


async def test_a_builder_that_slept_reads_the_records_again(
    lake_settings: LakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image is erased while the builder sleeps, after the builder has read the record."""
    machine = TestMachine()
    lake = await lake_on(machine, lake_settings)
    for name in "ab":
        await commit(lake, name)
    read = ExpectedRows.records

    async def asleep(self: ExpectedRows, names: Sequence[Name]) -> dict[Name, Found]:
        found = await read(self, names)
        if not machine.elapsed_by:
            await lake.eraser.erase(TENANT, image_id("a"))
            machine.let_pass(timedelta(hours=1.5).total_seconds())
        return found

    monkeypatch.setattr(ExpectedRows, "records", asleep)
    await build(lake, lake_settings, processes=1)
    assert await shadow_ids(lake) == {image_id("b")}


async def test_also_while_a_cutover_holds_sealing(lake: Lake, lake_settings: LakeSettings) -> None:
    await built(lake, lake_settings)
    await Cutover(lake, lake_settings, processes=1).hold()
    await commit(lake, "late")  # a row that can't be sealed now
    await lake.eraser.erase(TENANT, image_id("a"))
    await lake.maintenance.run_pass(now=True)
    assert await shadow_ids(lake) == {image_id("b")}


async def test_a_damaged_file_of_the_shadow_lake_does_not_stop_sealing(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await built(lake, lake_settings)
    for stored in await lake.store.objects(layout.rebuilt_rows("images").chains):
        await lake.store.put(stored.key, b"PAR1")
    await lake.eraser.erase(TENANT, image_id("a"))
    assert (await lake.maintenance.run_pass(now=True)).failed == 0
    assert "unreadable" in found(await audit(lake, lake_settings))


async def test_a_shadow_lake_that_can_t_be_written_stops_no_row(
    lake: Lake, lake_settings: LakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await built(lake, lake_settings)
    await commit(lake, "late")
    replace = lake.store.replace

    async def denied(key: str, data: Buffer, etag: str) -> str:
        if key.startswith(layout.REBUILT):
            raise StoreDenied(f"{key} is denied")
        return await replace(key, data, etag)

    with monkeypatch.context() as patch:
        patch.setattr(lake.store, "replace", denied)
        await lake.eraser.erase(TENANT, image_id("a"))
        report = await lake.maintenance.run_pass(now=True)
        assert (report.images.failed, report.images.unfinished) == (0, 1)
        assert {row.image_id for row in await rows(lake)} == set(map(image_id, ["b", "late"]))
    # The tombstone has stayed, so a later pass finishes the erasure.
    assert (await at_age(lake, hours=2).maintenance.run_pass(now=True)).failed == 0
    assert await shadow_ids(lake) == {image_id("b")}


async def test_an_audit_names_a_row_that_an_erasure_left_there(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    await built(lake, lake_settings)
    shadow = await lake.store.objects(layout.rebuilt_rows("images").chains)
    before = [(stored.key, (await lake.store.get(stored.key))[0]) for stored in shadow]
    await lake.eraser.erase(TENANT, image_id("a"))
    for hours in (0, 1.2):
        await at_age(lake, hours=hours).maintenance.run_pass(now=True)
    assert found(await audit(lake, lake_settings, after=timedelta(hours=5))) == {}
    for key, data in before:
        await lake.store.put(key, data)
    report = await audit(lake, lake_settings, after=timedelta(hours=5))
    assert found(report) == {"erased_row": 1}
    (example,) = report.examples["erased_row"]
    assert example.subject == f"{TENANT}/{image_id('a')}"
