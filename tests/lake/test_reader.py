import pytest

from lake import layout
from lake.commit.journal import Journal
from lake.errors import ImageExpired, ImageNotFound, InvalidCursor
from lake.lake import Lake
from lake.read.unsealed_rows import waiting_images
from tests.lake.clocks import at_age
from tests.lake.samples import TENANT, commit, image_id


async def walk(lake: Lake, limit: int, tenant: str = TENANT) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = await lake.reader.page(tenant, limit, cursor)
        assert len(page.records) <= limit
        found += [record.image_id for record in page.records]
        if page.cursor is None:
            return found
        cursor = page.cursor


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_pages_hold_every_image_once_newest_window_first(lake: Lake, limit: int) -> None:
    for n in range(4):
        await commit(lake, f"old{n}")
    await lake.sealer.run_pass(now=True)
    later = at_age(lake, seconds=7200)
    for n in range(3):
        await commit(later, f"new{n}")
    await commit(later, "theirs", tenant="other")
    found = await walk(later, limit)
    new, old = {image_id(f"new{n}") for n in range(3)}, {image_id(f"old{n}") for n in range(4)}
    assert len(found) == 7
    assert (set(found[:3]), set(found[3:])) == (new, old)
    assert await walk(later, limit, "other") == [image_id("theirs")]


async def test_a_row_in_journal_and_chain_is_listed_once(lake: Lake) -> None:
    await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    await commit(lake, "a")
    assert await walk(lake, 10) == [image_id("a")]


async def test_a_row_journaled_after_the_erasure_is_not_shown(lake: Lake) -> None:
    """A replay read the record, slept for two hours, and journals the row of an erased image."""
    await commit(lake, "kept")
    stored = (await commit(lake, "a")).record
    await lake.sealer.run_pass(now=True)
    await lake.eraser.erase(TENANT, image_id("a"))
    for hours in (0, 1.2, 2):
        await at_age(lake, hours=hours).maintenance.run_pass(now=True)
    await Journal(lake.store).append(stored)
    waiting = (await waiting_images(lake.store)).rows
    assert (await walk(lake, 10), waiting.num_rows) == ([image_id("kept")], 0)


@pytest.mark.parametrize("kept", [0, 100])
async def test_a_cut_segment_hides_no_other_window(lake: Lake, kept: int) -> None:
    """A power cut leaves a segment of no bytes, or of some."""
    await commit(lake, "cut")
    await lake.sealer.run_pass(now=True)
    (segment,) = await lake.store.objects(layout.LAKE_IMAGES)
    data, _ = await lake.store.get(segment.key)
    await lake.store.put(segment.key, data[:kept])
    await commit(lake, "beside")  # its row waits in the same window
    later = at_age(lake, seconds=7200)
    await commit(later, "new")
    assert await walk(later, 10) == [image_id("new")]
    await later.store.put(segment.key, data)
    assert set(await walk(later, 10)) == {image_id(name) for name in ("new", "cut", "beside")}


async def test_expired_images_are_hidden(lake: Lake) -> None:
    await commit(lake, "a")
    await lake.sealer.run_pass(now=True)
    later = at_age(lake, days=7, seconds=61)
    assert await walk(later, 10) == []
    with pytest.raises(ImageExpired):
        await later.reader.record(TENANT, image_id("a"))


@pytest.mark.parametrize("wrong", ["nope", "0" * 32, "../../etc", "A" * 32, ""])
async def test_unknown_ids(lake: Lake, wrong: str) -> None:
    with pytest.raises(ImageNotFound):
        await lake.reader.record(TENANT, wrong)


async def test_other_tenants_images_do_not_exist(lake: Lake) -> None:
    await commit(lake, "a")
    with pytest.raises(ImageNotFound):
        await lake.reader.record("other", image_id("a"))


@pytest.mark.parametrize("wrong", ["", "x", "1.2.3", "20261123T100400Z.x.y", "a.b.c.d"])
async def test_a_cursor_that_is_not_ours(lake: Lake, wrong: str) -> None:
    with pytest.raises(InvalidCursor):
        await lake.reader.page(TENANT, 10, wrong)
