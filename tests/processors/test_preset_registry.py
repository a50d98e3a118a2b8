"""Presets in the store: found by name, never changed; hostile contents do no harm."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest

from lake.commit.preset_store import BUILT_IN, PresetStore
from lake.errors import StoreUnavailable
from lake.lake import Lake
from lake.layout import preset_key
from lake.settings import LakeSettings
from lake.store.object_store import ObjectStore
from processors.errors import InvalidPreset, PresetBuiltIn, PresetChanged, UnknownPreset
from processors.job import by_content, content_hash
from processors.preset import BUILTIN, WEB, Preset, PresetName
from processors.preset_check import try_out
from processors.preset_registry import PresetRegistry, as_json
from processors.preset_text import MAX_PRESET_BYTES, MAX_PRESET_TEXT
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings

SHOP = {"renditions": [{"name": "small", "operations": [{"op": "fit", "width": 100}]}]}
WIDER = {"renditions": [{"name": "small", "operations": [{"op": "fit", "width": 200}]}]}


async def untried(preset: Preset) -> None:
    del preset


@pytest.fixture
async def lake() -> Lake:
    return await Lake.open(LakeSettings(store_url="memory://"))


@pytest.fixture
def presets(lake: Lake) -> PresetRegistry:
    return PresetRegistry(lake.presets, 60)


async def put(
    presets: PresetRegistry,
    said: object,
    name: str = "shop",
    after: int | None = None,
    tenant: str | None = None,
) -> int:
    data = json.dumps(said).encode()
    done = await presets.put(name, data, "a test", untried, after=after, tenant=tenant)
    return done.preset.version


async def versions(presets: PresetRegistry, tenant: str | None = None) -> dict[str, int]:
    return {each.name: each.version for each in await presets.newest(tenant)}


def width(preset: Preset) -> object:
    return preset.renditions[0].operations[0].model_dump()["width"]


async def test_versions_go_up_and_stay_as_they_were(presets: PresetRegistry, lake: Lake) -> None:
    assert [await put(presets, each) for each in (SHOP, WIDER)] == [1, 2]
    assert width(await presets.find(PresetName("shop"))) == 200
    assert width(await presets.find(PresetName("shop", 1))) == 100
    assert await lake.presets.newest() == {"shop": 2}
    assert await versions(presets) == {"archive": 1, "shop": 2, "thumbnail": 1, "web": 1}
    stored = json.loads((await lake.store.get("presets/shop/2.json"))[0])
    assert (stored["created_by"], stored["preset"]["version"]) == ("a test", 2)


async def test_the_same_once_more_is_no_new_version(presets: PresetRegistry) -> None:
    assert [await put(presets, each) for each in (SHOP, SHOP)] == [1, 1]
    again = as_json(await presets.find(PresetName("shop")))
    done = await presets.put("shop", again.encode(), "a test", untried)
    assert (done.preset.version, done.created) == (1, False)


async def test_many_at_once_make_a_version_each(presets: PresetRegistry) -> None:
    said = [{"renditions": [{"name": f"r{n}"}]} for n in range(4)]
    made = await asyncio.gather(*(put(presets, each) for each in said))
    assert sorted(made) == [1, 2, 3, 4]


async def test_what_the_caller_expects_is_checked(presets: PresetRegistry) -> None:
    with pytest.raises(PresetChanged):
        await put(presets, SHOP, after=1)
    await put(presets, SHOP, after=0)
    with pytest.raises(PresetChanged) as refused:
        await put(presets, WIDER, after=0)
    assert refused.value.value == 1
    with pytest.raises(PresetChanged):
        await put(presets, {**WIDER, "version": 7})
    assert await put(presets, {**WIDER, "version": 2, "name": "shop"}, after=1) == 2


async def test_built_in_presets_stay_whatever_is_stored(
    presets: PresetRegistry, lake: Lake
) -> None:
    with pytest.raises(PresetBuiltIn):
        await put(presets, SHOP, "web")
    await lake.store.put(preset_key("web", 9), b"{}")
    assert await presets.find(PresetName("web")) == WEB
    assert (await versions(presets))["web"] == 1


async def test_unknown_presets_are_named(presets: PresetRegistry) -> None:
    await put(presets, SHOP)
    for name in (PresetName("nope"), PresetName("shop", 2)):
        with pytest.raises(UnknownPreset) as refused:
            await presets.find(name)
        assert refused.value.value == str(name)
    with pytest.raises(UnknownPreset):
        await put(presets, SHOP, "../web")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"no json", "a JSON object"),
        (b"[]", "a JSON object"),
        (b"[" * 100_000, "a JSON object"),
        (b'{"renditions": [{"name": "a", "operations": [{"op": "nope"}]}]}', "operations"),
        (b'{"renditions": [{"name": "../a"}]}', "is no valid name"),
        (json.dumps({"renditions": [{"name": f"a{n}"} for n in range(17)]}).encode(), "at most 16"),
        (
            json.dumps(
                {"renditions": [{"name": "a", "operations": [{"op": "flip"}] * 17}]}
            ).encode(),
            "at most 16",
        ),
        (
            b'{"renditions": [{"name": "a", "operations": [{"op": "blur", "sigma": 1e400}]}]}',
            "sigma",
        ),
        (b'{"name": "other"}', "says that its name"),
        (b'{"surprise": 1}', "surprise"),
        (b'{"renditions": [{"name": "a", "quality": 1, "quality": 2}]}', "'quality' is repeated"),
        (json.dumps({"x" * 100_000: 1}).encode(), "xxx"),
        (b" " * (MAX_PRESET_TEXT + 1), "with white space"),
        (json.dumps({"x" * MAX_PRESET_BYTES: 1}).encode(), "the preset is too large"),
    ],
    ids=[
        *("text", "list", "deep", "operation", "name", "renditions", "operations", "infinite"),
        *("other", "extra", "twice", "long", "white space", "large"),
    ],
)
async def test_bad_presets_are_refused(
    presets: PresetRegistry, lake: Lake, said: bytes, why: str
) -> None:
    with pytest.raises(InvalidPreset, match=why) as refused:
        await presets.put("shop", said, "a test", untried)
    assert len(str(refused.value)) < 1000
    assert await lake.presets.newest() == {}


async def test_only_json_without_white_space_counts(presets: PresetRegistry) -> None:
    boxes = {"op": "redact", "boxes": [[0, 0, 1, 1]] * 16}
    said = {"renditions": [{"name": f"r{n}", "operations": [boxes] * 16} for n in range(16)]}
    made = await presets.put("shop", json.dumps(said).encode(), "a test", untried)
    assert made.created
    indented = as_json(await presets.find(PresetName("shop"))).encode()
    assert len(indented) > MAX_PRESET_BYTES
    assert not (await presets.put("shop", indented, "a test", untried)).created


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"{}",
        b"\xff\xfe",
        as_json(WEB).encode(),
        b'{"preset":'
        + as_json(WEB).encode()
        + b',"created_at":"2026-11-26T00:00:00Z","created_by":""}',
        b"x" * (MAX_PRESET_BYTES + 1),
    ],
    ids=["empty", "no preset", "no text", "bare", "another one", "large"],
)
async def test_what_others_put_into_the_store_is_refused(
    presets: PresetRegistry, lake: Lake, stored: bytes
) -> None:
    await lake.store.put(preset_key("shop", 1), stored)
    with pytest.raises(InvalidPreset):
        await presets.find(PresetName("shop"))


class Counting(PresetStore):
    """Preset store that counts its look-ups, and fails while `fails` is set."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(store)
        self.asked = 0
        self.fails = False

    async def newest_of(self, path: str) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        if self.fails:
            raise StoreUnavailable("away")
        return await super().newest_of(path)


async def test_the_store_is_asked_once_for_many_and_again_after_a_while(lake: Lake) -> None:
    await put(PresetRegistry(lake.presets), SHOP)
    files, now = Counting(lake.store), 1000.0
    presets = PresetRegistry(files, seconds=10, now=lambda: now)
    name = PresetName("shop")
    await asyncio.gather(*(presets.find(name) for _ in range(20)))
    assert files.asked == 1
    await put(PresetRegistry(lake.presets), WIDER)
    assert width(await presets.find(name)) == 100
    now += 11
    assert width(await presets.find(name)) == 200
    assert files.asked == 2
    await presets.find(PresetName("web"))
    await presets.find(PresetName("shop", 1))
    assert files.asked == 2


async def test_a_failure_is_not_remembered(lake: Lake) -> None:
    files = Counting(lake.store)
    presets = PresetRegistry(files, seconds=60)
    with pytest.raises(UnknownPreset):
        await presets.find(PresetName("shop"))
    await put(PresetRegistry(lake.presets), SHOP)
    files.fails = True
    with pytest.raises(StoreUnavailable):
        await presets.find(PresetName("shop"))
    files.fails = False
    assert width(await presets.find(PresetName("shop"))) == 100


async def test_one_that_leaves_does_not_take_the_look_up_along(lake: Lake) -> None:
    await put(PresetRegistry(lake.presets), SHOP)
    presets = PresetRegistry(lake.presets)
    leaving = asyncio.create_task(presets.find(PresetName("shop")))
    staying = asyncio.create_task(presets.find(PresetName("shop")))
    await asyncio.sleep(0)
    leaving.cancel()
    assert width(await staying) == 100


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    children = await Sandbox.start(ProcessorSettings(sandbox_children=1))
    yield children
    await children.close()


async def test_a_preset_is_tried_before_it_is_stored(
    presets: PresetRegistry, lake: Lake, sandbox: Sandbox
) -> None:
    def rendition(**operation: Any) -> bytes:
        return json.dumps({"renditions": [{"name": "a", "operations": [operation]}]}).encode()

    trial = partial(try_out, sandbox)
    huge = rendition(op="pad", width=16_000, height=16_000)
    with pytest.raises(InvalidPreset, match="output_too_large"):
        await presets.put("shop", huge, "a test", trial)
    assert await lake.presets.newest() == {}
    done = await presets.put("shop", rendition(op="blur", sigma=2), "a test", trial)
    assert done.created
    photo = cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
    assert (await sandbox.process(photo, done.preset)).renditions[0].name == "a"


def test_a_newer_version_is_the_same_request_for_who_named_none() -> None:
    first = Preset(name="shop", version=1)
    second = Preset(name="shop", version=2)
    assert content_hash("ab", first, {}, newest=True) == content_hash("ab", second, {}, newest=True)
    assert content_hash("ab", first, {}) != content_hash("ab", second, {})
    assert by_content("ab", first, {}) != by_content("ab", second, {})


def test_the_lake_knows_which_presets_are_never_stored() -> None:
    assert set(BUILTIN) == BUILT_IN
