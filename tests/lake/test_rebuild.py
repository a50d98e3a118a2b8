"""Rebuild of a damaged lake from its records, after which the audit passes."""

import asyncio
from dataclasses import replace

import pytest

from lake import layout
from lake.commit.journal import Journal
from lake.lake import Lake
from lake.rebuild.in_place import Rebuilder, RebuildReport
from lake.settings import LakeSettings
from lake.store.object_store import Buffer, ObjectStore
from lake.tables.rows import encode_chain_file, to_table
from lake.tables.schema import ImageRecord
from lake.tables.tables import REJECTION_TABLE
from tests.lake.clocks import at_age
from tests.lake.damage import REPAIRABLE, Damage, audit, break_a_file, erase_by_hand, found
from tests.lake.samples import TENANT, commit, image_id, keys, rows
from tests.lake.test_reader import walk
from tests.lake.test_rejections import REFUSAL
from tests.lake.test_rejections import rows as rejected_rows


async def rebuild(lake: Lake, settings: LakeSettings, *, everything: bool = False) -> RebuildReport:
    return await Rebuilder(lake, settings, processes=1).run(everything=everything)


@pytest.fixture
async def sealed(lake: Lake) -> list[ImageRecord]:
    """Four images and their rows, in files 0 and 1."""
    done = [await commit(lake, name) for name in "ab"]
    await lake.sealer.run_pass(now=True)
    done += [await commit(lake, name) for name in "cd"]
    await lake.sealer.run_pass(now=True)
    return sorted((one.record for one in done), key=lambda image: image.image_id)


async def test_a_sound_lake_stays_as_it_is(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    before = {s.key: s.etag for s in await lake.store.objects(layout.LAKE_IMAGES)}
    report = await rebuild(lake, lake_settings)
    assert (report.kept, report.removed, report.added, report.files) == (4, 0, 0, 0)
    assert {s.key: s.etag for s in await lake.store.objects(layout.LAKE_IMAGES)} == before
    assert await rows(lake) == sealed


async def test_all_is_lost_but_the_records(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    for key in await keys(lake, "lake"):
        await lake.store.delete(key)
    report = await rebuild(lake, lake_settings)
    assert (report.added, report.failed) == (4, 0)
    assert await rows(lake) == sealed
    assert found(await audit(lake, lake_settings)) == {}


@pytest.mark.parametrize("damage", REPAIRABLE, ids=lambda damage: damage.__name__)
async def test_what_was_broken_is_whole_again(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord], damage: Damage
) -> None:
    await damage(lake, sealed[0])
    report = await rebuild(lake, lake_settings)
    assert report.failed == 0
    assert found(await audit(lake, lake_settings)) == {}
    there = {row.image_id for row in await rows(lake)}
    erased = {sealed[0].image_id} if damage is erase_by_hand else set()
    assert there == {image.image_id for image in sealed} - erased


async def test_everything_writes_rows_that_look_right_but_are_not(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    for window_start in {image.window_start for image in sealed}:
        lying = [
            image.model_copy(update={"width": 1})
            for image in sealed
            if image.window_start == window_start
        ]
        for key in await keys(lake, layout.hour_prefix(window_start)):
            if layout.parse_chain_key(key) == (window_start, 0):
                await lake.store.put(key, encode_chain_file(to_table(lying)))
            else:
                await lake.store.delete(key)
    await rebuild(lake, lake_settings, everything=True)
    assert await rows(lake) == sealed
    assert found(await audit(lake, lake_settings)) == {}


async def test_the_erased_stay_erased_though_their_notes_are_lost(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    gone = sealed[0]
    await lake.eraser.erase(TENANT, gone.image_id)
    await at_age(lake, seconds=3700).sealer.run_pass(now=True)
    for key in await keys(lake, layout.hour_prefix(gone.window_start)):
        await lake.store.put(key, b"not parquet")
    await rebuild(lake, lake_settings)
    # A writer that was paused journals the row once more.
    await Journal(lake.store).append(gone)
    await lake.sealer.run_pass(now=True)
    assert gone.image_id not in {row.image_id for row in await rows(lake)}
    assert found(await audit(lake, lake_settings)) == {}


async def test_a_row_whose_record_can_not_be_read_stays(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    await lake.store.put(layout.record_key(TENANT, sealed[0].image_id), b"{}")
    for everything in (False, True):
        await rebuild(lake, lake_settings, everything=everything)
        assert await rows(lake) == sealed


async def test_beside_sealers_and_writers(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    busy = True

    async def seal() -> None:
        while busy:
            await lake.sealer.run_pass(now=True)
            await asyncio.sleep(0)

    sealers = [asyncio.create_task(seal()) for _ in range(2)]
    await break_a_file(lake, sealed[0])
    rebuilding = asyncio.create_task(rebuild(lake, lake_settings, everything=True))
    new = await asyncio.gather(*(commit(lake, f"new{n}") for n in range(10)))
    await lake.eraser.erase(TENANT, image_id("d"))
    report = await rebuilding
    busy = False
    await asyncio.gather(*sealers)
    assert report.failed == 0
    await lake.sealer.run_pass(now=True)
    there = [row.image_id for row in await rows(lake)]
    assert len(there) == len(set(there)) == 3 + len(new)
    await at_age(lake, seconds=3700).sealer.run_pass(now=True)
    assert found(await audit(lake, lake_settings)) == {}


@pytest.mark.parametrize("broken", [None, b"not parquet"], ids=["lost", "broken"])
async def test_rejections_are_rebuilt_from_theirs(
    lake: Lake, lake_settings: LakeSettings, broken: bytes | None
) -> None:
    for offset in range(3):
        await lake.rejections.note(replace(REFUSAL, offset=offset))
    await lake.maintenance.run_pass(now=True)
    for key in await keys(lake, REJECTION_TABLE.folders.chains):
        await (lake.store.delete(key) if broken is None else lake.store.put(key, broken))
    report = await rebuild(lake, lake_settings)
    assert (report.added, report.failed) == (3, 0)
    rows_there = [row["offset"] for row in await rejected_rows(lake)]
    assert (len(rows_there), set(rows_there)) == (3, {0, 1, 2})
    assert found(await audit(lake, lake_settings)) == {}


async def test_rejections_that_are_none_are_taken_out(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    one = await lake.rejections.note(REFUSAL)
    nobodys = one.model_copy(update={"rejection_id": "f" * 32})
    await Journal(lake.store, REJECTION_TABLE).append(nobodys)
    await lake.maintenance.run_pass(now=True)
    assert found(await audit(lake, lake_settings)) == {"row_without_image": 1}
    assert (await rebuild(lake, lake_settings)).removed == 1
    assert found(await audit(lake, lake_settings)) == {}


async def test_rows_of_a_damaged_file_are_listed_while_they_are_written_again(
    lake: Lake,
    lake_settings: LakeSettings,
    sealed: list[ImageRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the moment when the chain can be read again, a page has all its rows."""
    await break_a_file(lake, sealed[0])
    listed: list[set[str]] = []
    replace_object = ObjectStore.replace

    async def replaced(self: ObjectStore, key: str, data: Buffer, etag: str) -> str:
        after = await replace_object(self, key, data, etag)
        if key.startswith(layout.LAKE_IMAGES):
            listed.append(set(await walk(lake, 10)))
        return after

    monkeypatch.setattr(ObjectStore, "replace", replaced)
    await rebuild(lake, lake_settings)
    assert listed
    assert all(ids == {image.image_id for image in sealed} for ids in listed)
