"""Cutover to a shadow lake, which is made from the records alone, while sealing is on hold."""

from collections import Counter
from dataclasses import replace
from unittest import mock

import pytest

from lake import layout
from lake.errors import LakeHeld, UnreadableObject
from lake.lake import Lake
from lake.rebuild import shadow_lake
from lake.rebuild.cutover import Cutover, CutoverReport, NoNewLake
from lake.rebuild.shadow_lake import ShadowReport, build
from lake.seal.watermark_advance import WatermarkAdvance
from lake.settings import LakeSettings
from lake.tables.rows import decode_chain_file, encode_chain_file, erased_ids, to_table
from lake.tables.schema import ImageRecord
from lake.tables.tables import REJECTION_TABLE
from tests.lake.clocks import at_age
from tests.lake.damage import REPAIRABLE, Damage, audit, erase_by_hand, found
from tests.lake.samples import TENANT, commit, image_id, keys, rows
from tests.lake.test_rejections import REFUSAL
from tests.lake.test_rejections import rows as rejected_rows


@pytest.fixture
async def sealed(lake: Lake) -> list[ImageRecord]:
    """Four images and their rows, in files 0 and 1, and a rejection."""
    done = [await commit(lake, name) for name in "ab"]
    await lake.sealer.run_pass(now=True)
    done += [await commit(lake, name) for name in "cd"]
    await lake.rejections.note(REFUSAL)
    await lake.maintenance.run_pass(now=True)
    return sorted((one.record for one in done), key=lambda image: image.image_id)


async def built(lake: Lake, settings: LakeSettings) -> ShadowReport:
    return await build(lake, settings, processes=1)


async def switched(lake: Lake, settings: LakeSettings) -> CutoverReport:
    """Hold sealing, and run the cutover 31 minutes later."""
    await Cutover(lake, settings, processes=1).hold()
    return await Cutover(at_age(lake, minutes=31), settings, processes=1).run()


async def test_a_new_lake_is_made_beside_and_nothing_else_is_touched(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    before = {s.key: s.etag for s in await lake.store.objects("lake")}
    report = await built(lake, lake_settings)
    assert report.rows == len(sealed) + 1
    after = {s.key: s.etag for s in await lake.store.objects("lake")}
    new = {key for key in after if key.startswith("lake/rebuilt/")}
    assert len(new) == report.files >= 2
    assert {key: etag for key, etag in after.items() if key not in new} == before
    assert found(await audit(lake, lake_settings)) == {}


async def test_what_was_written_is_read_again(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    lost = encode_chain_file(to_table(sealed[:1]))
    with (
        mock.patch.object(shadow_lake, "encode_chain_file", return_value=lost),
        pytest.raises(UnreadableObject, match="does not hold the rows"),
    ):
        await built(lake, lake_settings)


@pytest.mark.parametrize("damage", REPAIRABLE, ids=lambda damage: damage.__name__)
async def test_it_takes_over_from_a_broken_one(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord], damage: Damage
) -> None:
    await damage(lake, sealed[0])
    await built(lake, lake_settings)
    await switched(lake, lake_settings)
    assert found(await audit(lake, lake_settings)) == {}
    there = {row.image_id for row in await rows(lake)}
    erased = {sealed[0].image_id} if damage is erase_by_hand else set()
    assert there == {image.image_id for image in sealed} - erased
    assert [key for key in await keys(lake, "lake") if "rebuilt" in key] == []


async def test_all_of_the_old_one_is_lost(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    for key in await keys(lake, "lake"):
        await lake.store.delete(key)
    await built(lake, lake_settings)
    await switched(lake, lake_settings)
    assert await rows(lake) == sealed
    assert [row["offset"] for row in await rejected_rows(lake)] == [REFUSAL.offset]
    assert found(await audit(lake, lake_settings)) == {}


async def test_rows_that_look_right_but_are_not_are_made_anew(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    for stored in await lake.store.objects(layout.LAKE_IMAGES):
        window_start, number = layout.parse_chain_key(stored.key) or (None, 0)
        lying = [
            r.model_copy(update={"width": 1}) for r in sealed if r.window_start == window_start
        ]
        lying = [] if number else lying
        await lake.store.put(stored.key, encode_chain_file(to_table(lying)))
    await built(lake, lake_settings)
    await switched(lake, lake_settings)
    assert await rows(lake) == sealed


@pytest.mark.usefixtures("sealed")
async def test_what_came_and_went_since_it_was_made(
    lake: Lake, lake_settings: LakeSettings
) -> None:
    """New images, rejections and erasures between build and hold, and some during the hold."""
    await built(lake, lake_settings)
    await commit(lake, "new")
    await lake.rejections.note(replace(REFUSAL, offset=1))
    await lake.eraser.erase(TENANT, image_id("a"))
    await lake.maintenance.run_pass(now=True)
    switch = Cutover(lake, lake_settings, processes=1)
    await switch.hold()
    await commit(lake, "newer")
    await lake.eraser.erase(TENANT, image_id("b"))
    # Erasures continue during the hold; rows wait in the journal.
    assert (await lake.sealer.run_pass(now=True)).rows == 0
    later = at_age(lake, minutes=31)
    await Cutover(later, lake_settings, processes=1).run()
    await later.maintenance.run_pass(now=True)
    await at_age(lake, hours=2).maintenance.run_pass(now=True)
    seen = Counter(row.image_id for row in await rows(lake))
    assert seen == Counter(image_id(name) for name in ("c", "d", "new", "newer"))
    assert {row["offset"] for row in await rejected_rows(lake)} == {REFUSAL.offset, 1}
    assert found(await audit(lake, lake_settings)) == {}


async def test_it_does_not_begin_while_a_file_of_a_sealer_may_be_on_its_way(
    lake: Lake, lake_settings: LakeSettings, sealed: list[ImageRecord]
) -> None:
    await built(lake, lake_settings)
    with pytest.raises(LakeHeld):
        await Cutover(lake, lake_settings, processes=1).run()
    await Cutover(lake, lake_settings, processes=1).hold()
    early = Cutover(at_age(lake, minutes=25), lake_settings, processes=1)
    with pytest.raises(LakeHeld):
        await early.run()
    await early.release()
    await commit(lake, "e")
    assert (await lake.sealer.run_pass(now=True)).rows == 1
    assert len(await rows(lake)) == len(sealed) + 1


async def test_a_hold_that_was_left_behind_ends(lake: Lake, lake_settings: LakeSettings) -> None:
    await lake.rejections.note(REFUSAL)
    await built(lake, lake_settings)
    await Cutover(lake, lake_settings, processes=1).hold()
    held = await at_age(lake, hours=2).maintenance.run_pass(now=True)
    assert (held.failed, await rejected_rows(lake)) == (1, [])
    await at_age(lake, hours=3, minutes=1).maintenance.run_pass(now=True)
    assert len(await rejected_rows(lake)) == 1
    assert REJECTION_TABLE.folders.journal not in str(await keys(lake, "rejections"))


async def test_no_file_names_an_erased_image_while_another_has_its_row(
    lake: Lake,
    lake_settings: LakeSettings,
    sealed: list[ImageRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await built(lake, lake_settings)
    for image in sealed:
        await erase_by_hand(lake, image)
    check_held = WatermarkAdvance.check_held
    both: list[set[str]] = []

    async def looking(self: WatermarkAdvance) -> None:
        """Look at all files before each write."""
        named, there = set[str](), {row.image_id for row in await rows(lake)}
        for key in await keys(lake, layout.LAKE_IMAGES):
            named |= erased_ids(key, decode_chain_file(key, (await lake.store.get(key))[0]))
        both.append(named & there)
        await check_held(self)

    monkeypatch.setattr(WatermarkAdvance, "check_held", looking)
    await switched(lake, lake_settings)
    assert await rows(lake) == []
    assert len(both) > 2
    assert not any(both)


async def test_without_a_new_lake_nobody_is_held(lake: Lake, lake_settings: LakeSettings) -> None:
    with pytest.raises(NoNewLake):
        await Cutover(lake, lake_settings, processes=1).hold()
    assert not await keys(lake, layout.watermark_key().rsplit("/", 1)[0])
