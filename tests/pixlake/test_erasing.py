"""Erasure of many images names each image and window of which something may be left."""

from datetime import timedelta

import pytest

from lake import layout
from lake.errors import StoreDenied
from lake.lake import Lake
from lake.read.unsealed_rows import waiting_images
from lake.read.views import Views
from lake.rebuild.shadow_lake import build
from lake.settings import LakeSettings
from lake.store.object_store import Buffer
from pixlake_server.cli.erasing import erase_images, select
from tests.lake.clocks import at, at_age
from tests.lake.samples import TENANT, commit, image_id

_NAME = TENANT, image_id("a")


@pytest.fixture
async def lake() -> Lake:
    """Lake with the unsealed row of one image."""
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    await commit(lake, "a")
    return lake


async def test_a_journal_object_under_hold_is_named(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    (held,) = await lake.store.objects(layout.JOURNAL)
    delete = lake.store.delete

    async def denied(key: str) -> None:
        if key == held.key:
            raise StoreDenied(f"{key} is under legal hold")
        await delete(key)

    monkeypatch.setattr(lake.store, "delete", denied)
    window = held.key.split("/")[1]
    left = {f"journal of window {window}": "not_deleted"}
    assert await erase_images(lake, [_NAME]) == ({}, left)
    assert held in await lake.store.objects(layout.JOURNAL)


async def test_an_image_whose_row_stays_in_a_shadow_lake_is_named(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lake.maintenance.run_pass(now=True)
    await build(lake, LakeSettings(store_url="memory://"), processes=1)
    replace = lake.store.replace

    async def denied(key: str, data: Buffer, etag: str) -> str:
        if key.startswith(layout.REBUILT):
            raise StoreDenied(f"{key} is denied")
        return await replace(key, data, etag)

    monkeypatch.setattr(lake.store, "replace", denied)
    left = {"/".join(_NAME): "not_finished"}
    assert await erase_images(lake, [_NAME]) == ({}, left)


async def test_a_waiting_row_beside_a_lost_segment_is_found_and_its_window_is_named() -> None:
    """The lost segment may have named the image as erased, and erasing it again is no error."""
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    window = lake.clock.settings.window
    start = layout.window_start_of(lake.clock.now(), window) + 2 * window
    then = at(lake, start + window / 2)
    for name in "ab":
        await commit(then, name)
        await then.sealer.run_pass(now=True)
    await commit(then, "c")
    await lake.store.delete(layout.chain_key(start, 0))
    waiting = await waiting_images(lake.store)
    assert waiting.rows["image_id"].to_pylist() == [image_id("c")]
    assert set(waiting.unreadable) == {f"window {layout.window_name(start)}"}


async def test_a_condition_finds_an_unsealed_row_whose_id_has_an_expired_row(
    lake_in_folder: tuple[Lake, LakeSettings],
) -> None:
    """An identity comes again after its expiry, and the sweeper has not run since."""
    lake, settings = lake_in_folder
    before = at_age(lake, days=-8)
    await commit(before, "a")
    await before.sealer.run_pass(now=True)
    await commit(lake, "a")
    waiting = (await waiting_images(lake.store)).rows["window_start"].to_pylist()
    assert lake.clock.now() - waiting[0] < timedelta(hours=1)
    selected = await select(lake.store, "width = 640", lambda rows: Views.open(settings, rows))
    assert selected == ([_NAME], {})


@pytest.fixture
async def lake_in_folder(tmp_path: object) -> tuple[Lake, LakeSettings]:
    """Empty lake in a folder, which SQL can read."""
    settings = LakeSettings(store_url=f"file://{tmp_path}/store")
    return await Lake.open(settings), settings
