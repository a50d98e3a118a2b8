"""Presets that tenants own: whose preset a name means, and what no other tenant finds."""

import asyncio
import json

import pytest

from lake.commit.preset_store import PresetStore
from lake.errors import StoreUnavailable
from lake.lake import Lake
from lake.layout import preset_key, preset_path
from lake.settings import LakeSettings
from processors.errors import (
    InvalidPreset,
    PresetBuiltIn,
    PresetShared,
    TooManyPresets,
    UnknownPreset,
)
from processors.job import by_content, content_hash
from processors.preset import Preset, PresetName
from processors.preset_registry import (
    MAX_TENANT_PRESETS,
    MAX_TENANT_VERSIONS,
    PresetRegistry,
    as_json,
)

CAMS, FILM = "cams", "film"


@pytest.fixture
async def lake() -> Lake:
    return await Lake.open(LakeSettings(store_url="memory://"))


@pytest.fixture
def presets(lake: Lake) -> PresetRegistry:
    return PresetRegistry(lake.presets, 60)


async def test_a_preset_of_a_tenant_has_at_most_so_many_versions(
    presets: PresetRegistry, lake: Lake
) -> None:
    await put(presets, "c1", CAMS)
    stored, _ = await lake.store.get(preset_key(preset_path("shop", CAMS), 1))
    last = json.loads(stored)
    last["preset"]["version"] = MAX_TENANT_VERSIONS
    path = preset_path("shop", CAMS)
    assert await lake.presets.create(path, MAX_TENANT_VERSIONS, json.dumps(last).encode())
    with pytest.raises(TooManyPresets) as refused:
        await put(presets, "c2", CAMS)
    assert (refused.value.limit, refused.value.value) == (MAX_TENANT_VERSIONS, 1001)


async def test_a_name_that_is_shared_during_the_trial_is_not_taken(presets: PresetRegistry) -> None:
    async def share(_: Preset) -> None:
        await put(presets, "shared", None)

    data = json.dumps({"renditions": [{"name": "own"}]}).encode()
    with pytest.raises(PresetShared):
        await presets.put("shop", data, "a test", share, tenant=CAMS)
    assert await found(presets, CAMS) == "shared"


async def test_one_trial_of_a_tenant_runs_at_a_time(presets: PresetRegistry) -> None:
    running = most = 0

    async def watched(_: Preset) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    data = json.dumps({"renditions": [{"name": "own"}]}).encode()
    names = ("one", "two", "three")
    await asyncio.gather(
        *(presets.put(name, data, "a test", watched, tenant=CAMS) for name in names)
    )
    assert most == 1


async def test_names_that_are_stored_at_once_do_not_exceed_the_limit(
    presets: PresetRegistry, lake: Lake
) -> None:
    for n in range(MAX_TENANT_PRESETS - 1):
        await lake.presets.create(preset_path(f"p{n}", CAMS), 1, b"x")
    data = json.dumps({"renditions": [{"name": "own"}]}).encode()
    answers = await asyncio.gather(
        *(presets.put(f"q{n}", data, "a test", untried, tenant=CAMS) for n in range(60)),
        return_exceptions=True,
    )
    refused = [each for each in answers if isinstance(each, TooManyPresets)]
    assert len(refused) == len(answers) - 1
    assert len(await lake.presets.newest_in(CAMS)) == MAX_TENANT_PRESETS


async def untried(preset: Preset) -> None:
    del preset


async def put(presets: PresetRegistry, rendition: str, tenant: str | None, **fields: object) -> int:
    """Store the next version of `shop`, with one rendition."""
    data = json.dumps({"renditions": [{"name": rendition}], **fields}).encode()
    return (await presets.put("shop", data, "a test", untried, tenant=tenant)).preset.version


async def found(presets: PresetRegistry, tenant: str | None, version: int | None = None) -> str:
    """Name of the rendition of the preset that `shop` means to a tenant."""
    return (await presets.find(PresetName("shop", version, tenant))).renditions[0].name


async def test_equal_names_of_tenants_are_different_presets(
    presets: PresetRegistry, lake: Lake
) -> None:
    assert [await put(presets, name, CAMS) for name in ("c1", "c2")] == [1, 2]
    assert await put(presets, "f1", FILM) == 1
    assert await found(presets, CAMS) == "c2"
    assert await found(presets, CAMS, 1) == "c1"
    assert await found(presets, FILM) == "f1"
    for other in (None, "third"):
        with pytest.raises(UnknownPreset):
            await found(presets, other)
    with pytest.raises(UnknownPreset, match="newest version is 1"):
        await found(presets, FILM, 2)
    stored = json.loads((await lake.store.get("presets/_tenants/cams/shop/2.json"))[0])
    assert stored["preset"]["tenant"] == CAMS


async def test_a_listing_has_the_presets_of_one_tenant_and_the_shared_ones(
    presets: PresetRegistry, lake: Lake
) -> None:
    for name in ("a-shared", "z-shared"):
        await presets.put(name, b"{}", "a test", untried)
    await put(presets, "c1", CAMS)
    shared = ["a-shared", "archive", "thumbnail", "web", "z-shared"]
    for tenant, own in ((CAMS, {"shop": CAMS}), (FILM, {}), (None, {})):
        listed = {each.name: each.tenant for each in await presets.newest(tenant)}
        assert listed == {**dict.fromkeys(shared), **own}
        assert list(listed) == sorted(listed)
    assert await lake.presets.newest() == {"a-shared": 1, "z-shared": 1}


async def test_what_a_name_means_to_a_tenant_changes_only_by_its_own_acts(
    presets: PresetRegistry,
) -> None:
    await put(presets, "c1", CAMS)
    await put(presets, "s1", None)
    assert await found(presets, CAMS) == await found(presets, CAMS, 1) == "c1"
    assert await found(presets, FILM) == await found(presets, None) == "s1"
    assert await put(presets, "c2", CAMS) == 2
    with pytest.raises(PresetShared) as refused:
        await put(presets, "f1", FILM)
    assert refused.value.value == "shop"
    assert await found(presets, FILM) == "s1"


async def test_a_new_shared_version_is_used_by_every_tenant_of_this_process(
    presets: PresetRegistry,
) -> None:
    await put(presets, "s1", None)
    assert await found(presets, CAMS) == "s1"
    await put(presets, "s2", None)
    assert await found(presets, CAMS) == "s2"


async def test_the_owner_in_the_json_has_to_be_the_owner(
    presets: PresetRegistry, lake: Lake
) -> None:
    await put(presets, "c1", CAMS)
    again = as_json(await presets.find(PresetName("shop", None, CAMS))).encode()
    assert not (await presets.put("shop", again, "a test", untried, tenant=CAMS)).created
    nobody = json.dumps({**json.loads(again), "tenant": None}).encode()
    assert not (await presets.put("shop", nobody, "a test", untried, tenant=CAMS)).created
    for owner in (FILM, None):
        with pytest.raises(InvalidPreset, match="its tenant is 'cams'"):
            await presets.put("shop", again, "a test", untried, tenant=owner)
    content = (await lake.store.get(preset_key(preset_path("shop", CAMS), 1)))[0]
    await lake.store.put(preset_key(preset_path("shop", FILM), 1), content)
    with pytest.raises(InvalidPreset, match="contains the preset"):
        await found(presets, FILM)


async def test_a_tenant_may_own_so_many_presets(presets: PresetRegistry, lake: Lake) -> None:
    for n in range(MAX_TENANT_PRESETS):
        await lake.presets.create(preset_path(f"p{n}", CAMS), 1, b"x")
    with pytest.raises(TooManyPresets) as refused:
        await put(presets, "c1", CAMS)
    assert (refused.value.limit, refused.value.value) == (200, 201)
    assert await put(presets, "f1", FILM) == 1
    with pytest.raises(PresetBuiltIn):
        await presets.put("web", b"{}", "a test", untried, tenant=FILM)


class Failing(PresetStore):
    """Preset store that does not answer for the presets of tenants."""

    async def newest_of(self, path: str) -> int:
        if path.startswith("_tenants/"):
            raise StoreUnavailable("away")
        return await super().newest_of(path)


async def test_a_shared_preset_never_stands_in_for_one_that_can_not_be_read(lake: Lake) -> None:
    await put(PresetRegistry(lake.presets), "s1", None)
    with pytest.raises(StoreUnavailable):
        await found(PresetRegistry(Failing(lake.store)), CAMS)


def test_equal_names_and_versions_of_two_owners_are_different_content() -> None:
    owners = (None, CAMS, FILM)
    presets = [Preset(name="shop", version=1, tenant=owner) for owner in owners]
    assert len({by_content("ab", each, {}) for each in presets}) == len(owners)
    for newest in (True, False):
        assert len({content_hash("ab", each, {}, newest=newest) for each in presets}) == len(owners)
