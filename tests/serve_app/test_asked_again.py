"""A request that is repeated with its key finds its image, whatever became of its preset."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from lake.layout import preset_path
from lake.settings import LakeSettings
from serve_app.settings import ServeSettings
from tests.serve_app.site import MakeSite, Site, png

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = {"Idempotency-Key": "order-7/photo-1"}
CARD: dict[str, object] = {
    "renditions": [{"name": "card", "operations": [{"op": "resize", "width": 6}]}]
}
# Larger than any output may be.
HUGE: dict[str, object] = {
    "renditions": [{"name": "card", "operations": [{"op": "resize", "width": 9_000_000}]}]
}


@pytest.fixture
def shared(tmp_path: Path) -> LakeSettings:
    """A store that several sites use."""
    return LakeSettings(store_url=(tmp_path / "store").as_uri())


async def put_preset(site: Site, document: Mapping[str, object]) -> None:
    editor = site.key("acme", "images:read", "presets:write")
    answer = await site.client.put("/v1/presets/shop", content=json.dumps(document), headers=editor)
    assert answer.status_code == 201, answer.text


async def test_another_default_preset(
    make_site: MakeSite, settings: ServeSettings, shared: LakeSettings
) -> None:
    before = await make_site(settings, shared)
    first = await before.upload(png(), headers=KEY)
    assert first.status_code == 201, first.text
    after = await make_site(settings.model_copy(update={"default_preset": "archive"}), shared)
    again = await after.upload(png(), headers=KEY)
    assert (again.status_code, again.json()) == (200, first.json())
    # The preset of then, by its name, is the same content. Another one is another request.
    assert (await after.upload(png(), headers=KEY, params={"preset": "web"})).status_code == 200
    other = await after.upload(png(), headers=KEY, params={"preset": "archive"})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    other = await after.upload(png(seed=1), headers=KEY)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


async def test_a_preset_that_is_gone(
    make_site: MakeSite, settings: ServeSettings, shared: LakeSettings
) -> None:
    before = await make_site(settings, shared)
    await put_preset(before, CARD)
    first = await before.upload(png(), headers=KEY, params={"preset": "shop@1"})
    assert first.status_code == 201
    await before.lake.store.delete("presets/_tenants/acme/shop/1.json")
    after = await make_site(settings, shared)
    again = await after.upload(png(), headers=KEY, params={"preset": "shop@1"})
    assert (again.status_code, again.json()) == (200, first.json())
    other = await after.upload(png(seed=1), headers=KEY, params={"preset": "shop@1"})
    assert (other.status_code, other.json()["code"]) == (422, "unknown_preset")
    without = await after.upload(png(), params={"preset": "shop@1"})
    assert (without.status_code, without.json()["code"]) == (422, "unknown_preset")


async def test_a_version_that_refuses_the_image(
    make_site: MakeSite, settings: ServeSettings, shared: LakeSettings
) -> None:
    before = await make_site(settings, shared)
    await put_preset(before, CARD)
    first = await before.upload(png(), headers=KEY, params={"preset": "shop"})
    assert first.status_code == 201
    newest = json.dumps({"preset": {"name": "shop", "version": 2, "tenant": "acme", **HUGE}})
    await before.lake.presets.create(preset_path("shop", "acme"), 2, newest.encode())
    after = await make_site(settings, shared)
    new = await after.upload(png(), params={"preset": "shop"})
    assert new.status_code == 422
    again = await after.upload(png(), headers=KEY, params={"preset": "shop"})
    assert (again.status_code, again.json()) == (200, first.json())
