"""Presets that tenants own, by HTTP: no other tenant sees or uses them."""

from typing import Any

import httpx
import pytest

from serve_app.accounts import IMAGES, Limits
from serve_app.settings import ServeSettings
from tests.serve_app.site import MakeSite, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

TENANTS = ("acme", "film")


def preset(width: int) -> dict[str, Any]:
    return {"renditions": [{"name": "card", "operations": [{"op": "fit", "width": width}]}]}


class Holder:
    """Client with a key of one tenant."""

    def __init__(self, site: Site, tenant: str, *scopes: str) -> None:
        self._site = site
        self._headers = site.key(tenant, *(scopes or (*IMAGES, "presets:write")))

    async def get(self, path: str) -> httpx.Response:
        return await self._site.client.get(path, headers=self._headers)

    async def put(self, width: int, path: str = "/v1/presets/shop") -> httpx.Response:
        return await self._site.client.put(path, json=preset(width), headers=self._headers)

    async def upload(self, preset: str | None = "shop") -> httpx.Response:
        params = {} if preset is None else {"preset": preset}
        return await self._site.upload(headers=self._headers, params=params)

    async def owners(self) -> dict[str, str | None]:
        listed = (await self.get("/v1/presets")).json()["presets"]
        return {each["name"]: each["tenant"] for each in listed if not each["built_in"]}


async def share(site: Site, width: int) -> httpx.Response:
    return await Holder(site, "ops", "admin").put(width, "/v1/shared-presets/shop")


async def test_no_other_tenant_sees_or_uses_a_preset(site: Site) -> None:
    acme, film = (Holder(site, tenant) for tenant in TENANTS)
    made = await acme.put(60)
    assert (made.status_code, made.json()["tenant"]) == (201, "acme")
    assert await acme.owners() == {"shop": "acme"}
    assert await film.owners() == {}
    # The refusal is that of a name which nobody has: no hint tells that another tenant has it.
    for name in ("shop", "shop@1"):
        seen = await film.get(f"/v1/presets/{name}")
        never = await film.get(f"/v1/presets/{name.replace('shop', 'spoh')}")
        assert (seen.status_code, seen.json()["code"]) == (404, "preset_not_found")
        assert seen.json()["detail"].replace("shop", "spoh") == never.json()["detail"]
        used = await film.upload(name)
        assert (used.status_code, used.json()["code"]) == (422, "unknown_preset")
    assert (await acme.upload()).status_code == 201


async def test_equal_names_and_bytes_of_two_tenants_have_renditions_of_their_own(
    site: Site,
) -> None:
    holders = [Holder(site, tenant) for tenant in TENANTS]
    images = []
    for holder, width in zip(holders, (60, 40), strict=True):
        assert (await holder.put(width)).status_code == 201
        images.append((await holder.upload()).json())
    assert [each["preset_tenant"] for each in images] == list(TENANTS)
    assert [each["renditions"][0]["width"] for each in images] == [60, 40]
    for holder, image, other in zip(holders, images, reversed(images), strict=True):
        url = image["renditions"][0]["url"]
        own = await holder.get(url)
        assert (own.status_code, len(own.content)) == (200, image["renditions"][0]["bytes"])
        assert (await holder.get(other["renditions"][0]["url"])).status_code == 404


async def test_a_shared_preset_is_used_by_all_and_taken_by_nobody(site: Site) -> None:
    assert (await share(site, 50)).status_code == 201
    for tenant in TENANTS:
        holder = Holder(site, tenant)
        assert await holder.owners() == {"shop": None}
        image = (await holder.upload()).json()
        assert (image["preset_tenant"], image["renditions"][0]["width"]) == (None, 50)
        taken = await holder.put(60)
        assert (taken.status_code, taken.json()["code"]) == (409, "preset_shared")
        assert "tenant" not in (await holder.get("/v1/presets/shop")).json()
    [event] = site.accounts.log.newest(10, subject="preset:shop")
    assert (event.act, event.after) == ("preset.stored", {"version": 1})


async def test_a_name_that_is_shared_later_stays_that_of_its_tenant(site: Site) -> None:
    acme, film = (Holder(site, tenant) for tenant in TENANTS)
    await acme.put(60)
    first = (await acme.upload()).json()
    assert (await share(site, 50)).status_code == 201
    assert (await acme.owners(), await film.owners()) == ({"shop": "acme"}, {"shop": None})
    assert (await acme.upload()).json()["image_id"] == first["image_id"]
    assert (await film.upload()).json()["renditions"][0]["width"] == 50
    assert (await acme.put(70)).json()["version"] == 2


async def test_a_shared_preset_is_shown_and_stored_again_also_where_it_is_hidden(
    site: Site,
) -> None:
    acme = Holder(site, "acme")
    await acme.put(60)
    location = (await share(site, 50)).headers["Location"]
    for path in (location, "/v1/shared-presets/shop"):
        shown = await acme.get(path)
        assert (shown.status_code, shown.headers["ETag"]) == (200, '"1"')
        assert shown.json()["renditions"][0]["operations"][0]["width"] == 50
    again = await site.client.put(
        "/v1/shared-presets/shop", content=shown.content, headers=site.key("ops", "admin")
    )
    assert (again.status_code, again.headers["Location"]) == (200, location)
    own = (await acme.put(60)).headers["Location"]
    assert (await acme.get(own)).json()["renditions"][0]["operations"][0]["width"] == 60
    assert (await acme.get("/v1/shared-presets/web")).status_code == 200
    missing = await acme.get("/v1/shared-presets/other")
    assert (missing.status_code, missing.json()["code"]) == (404, "preset_not_found")


async def test_the_trial_of_a_preset_counts_as_an_image(site: Site) -> None:
    site.accounts.limits.set_tenant("acme", Limits(images_per_second=1), actor="test")
    acme = Holder(site, "acme")
    answers = [await acme.put(width) for width in (60, 61)]
    assert [each.status_code for each in answers] == [201, 429]
    assert answers[1].json()["code"] == "rate_limited"


async def test_the_default_preset_is_the_shared_one(
    make_site: MakeSite, settings: ServeSettings
) -> None:
    site = await make_site(settings.model_copy(update={"default_preset": "shop"}))
    acme = Holder(site, "acme")
    await acme.put(60)
    assert (await share(site, 50)).status_code == 201
    by_default, named = [(await acme.upload(name)).json() for name in (None, "shop@1")]
    assert [by_default["preset_tenant"], named["preset_tenant"]] == [None, "acme"]
    # Bytes, name and version are equal, the presets are not.
    assert [each["renditions"][0]["width"] for each in (by_default, named)] == [50, 60]


async def test_presets_that_were_shared_before_stay_shared(site: Site) -> None:
    stored = (
        b'{"preset": {"name": "shop", "version": 1, "renditions": []}, '
        b'"created_at": "2026-11-26T00:00:00Z", "created_by": "key 0f3a11c09b7e of acme"}'
    )
    await site.lake.presets.create("shop", 1, stored)
    for tenant in TENANTS:
        holder = Holder(site, tenant)
        assert (await holder.upload()).json()["preset_tenant"] is None
        assert (await holder.put(60)).json()["code"] == "preset_shared"
    assert (await share(site, 50)).json()["version"] == 2
