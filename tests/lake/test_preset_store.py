"""Stored presets on every kind of store."""

import asyncio

from lake.commit.preset_store import PresetStore
from lake.layout import preset_path
from lake.store.object_store import ObjectStore


async def test_of_many_creators_of_a_version_one_wins_and_it_stays(store: ObjectStore) -> None:
    files = PresetStore(store)
    said = [f"by {n}".encode() for n in range(8)]
    done = await asyncio.gather(*(files.create("shop", 1, each) for each in said))
    assert done.count(True) == 1
    assert await files.read("shop", 1, most=100) == said[done.index(True)]
    assert not await files.create("shop", 1, b"later")


async def test_the_newest_is_found_by_number_and_by_whole_names(store: ObjectStore) -> None:
    files = PresetStore(store)
    assert await files.newest() == {}
    assert await files.newest_of("shop") == 0
    for name, version in (("shop", 9), ("shop", 10), ("shop2", 11), ("shop-old", 12)):
        await files.create(name, version, b"x")
    await store.put("presets/shop/notes.txt", b"somebody's")
    await store.put("presets/shop/011.json", b"somebody's")
    for tenant, version in (("cams", 13), ("cams-2", 14)):
        await files.create(preset_path("shop", tenant), version, b"x")
    assert await files.newest_of("shop") == 10
    assert await files.newest() == {"shop": 10, "shop2": 11, "shop-old": 12}
    assert await files.newest_of(preset_path("shop", "cams")) == 13
    assert await files.newest_in("cams") == {"shop": 13}


async def test_a_listing_skips_the_presets_of_tenants(store: ObjectStore) -> None:
    """The page is smaller than they are many; names stand on both sides of their folder."""
    files = PresetStore(store)
    for name in ("9", "a"):
        await files.create(name, 1, b"x")
    await asyncio.gather(*(files.create(preset_path("shop", f"t{n}"), 1, b"x") for n in range(5)))
    for page in (1, 2, 3, 1000):
        assert await files.newest(page) == {"9": 1, "a": 1}


async def test_no_more_is_read_than_is_wanted(store: ObjectStore) -> None:
    files = PresetStore(store)
    assert await files.read("shop", 1, most=10) is None
    await files.create("shop", 1, b"x" * 1_000_000)
    await files.create("shop", 2, b"")
    assert await files.read("shop", 1, most=10) == b"x" * 11
    assert await files.read("shop", 2, most=10) == b""
