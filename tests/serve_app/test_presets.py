"""Presets by HTTP: writing, reading, listing, use by uploads, and permissions."""

import asyncio
import json
import sqlite3
from typing import Any

import httpx
import pytest
import pytest_asyncio

from processors.preset_text import MAX_PRESET_TEXT
from serve_app.problems import MEDIA_TYPE
from tests.serve_app.site import PHOTO, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHOP: dict[str, Any] = {
    "renditions": [
        {"name": "card", "operations": [{"op": "fill", "width": 90, "height": 60}]},
        {"name": "edges", "operations": [{"op": "fit", "width": 64}, {"op": "canny"}]},
    ]
}


@pytest_asyncio.fixture(loop_scope="session")
async def editor(site: Site) -> dict[str, str]:
    return site.key("acme", "presets:write", "images:read")


async def put(
    site: Site, editor: dict[str, str], said: object, name: str = "shop", **headers: str
) -> httpx.Response:
    return await site.client.put(f"/v1/presets/{name}", json=said, headers={**editor, **headers})


async def test_a_preset_is_put_and_used_by_uploads(site: Site, editor: dict[str, str]) -> None:
    made = await put(site, editor, SHOP)
    assert made.status_code == 201
    assert made.headers["ETag"] == '"1"'
    assert (made.json()["name"], made.json()["version"]) == ("shop", 1)
    stored = await site.client.get(made.headers["Location"])
    assert stored.json() == made.json()
    image = (await site.upload(params={"preset": "shop"})).json()
    assert (image["preset"], image["preset_version"]) == ("shop", 1)
    sizes = {each["name"]: (each["width"], each["height"]) for each in image["renditions"]}
    assert sizes["card"] == (90, 60)
    form = await site.client.post("/v1/images", files={"file": PHOTO}, data={"preset": "shop@1"})
    assert form.json()["image_id"] == image["image_id"]


async def test_a_new_version_makes_new_images_of_the_same_bytes(
    site: Site, editor: dict[str, str]
) -> None:
    await put(site, editor, SHOP)
    key = {"Idempotency-Key": "one"}
    first = await site.upload(params={"preset": "shop"})
    keyed = await site.upload(params={"preset": "shop"}, headers=key)
    assert (await put(site, editor, {"renditions": []})).status_code == 201
    second = await site.upload(params={"preset": "shop"})
    assert second.json()["preset_version"] == 2
    assert second.json()["image_id"] != first.json()["image_id"]
    # A client that sends the same request again gets its image, not a conflict.
    again = await site.upload(params={"preset": "shop"}, headers=key)
    assert (again.status_code, again.json()) == (200, keyed.json())
    # The earlier version stays available for good.
    old = await site.upload(params={"preset": "shop@1"})
    assert old.json()["image_id"] == first.json()["image_id"]
    other = await site.upload(params={"preset": "shop@2"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


async def test_what_get_gives_put_takes(site: Site, editor: dict[str, str]) -> None:
    await put(site, editor, SHOP)
    got = await site.client.get("/v1/presets/shop")
    again = await put(site, editor, got.json())
    assert (again.status_code, again.json()["version"]) == (200, 1)
    copied = await put(site, editor, {"renditions": got.json()["renditions"]}, "copy")
    assert copied.status_code == 201
    cached = await site.client.get("/v1/presets/shop", headers={"If-None-Match": '"1"'})
    assert (cached.status_code, cached.content) == (304, b"")


async def test_a_preset_is_read_as_the_version_that_is_meant(
    site: Site, editor: dict[str, str]
) -> None:
    await put(site, editor, SHOP)
    for version, status in (('"1"', 200), ("*", 200), ('"2"', 412)):
        got = await site.client.get("/v1/presets/shop", headers={"If-Match": version})
        assert got.status_code == status


async def test_built_in_and_stored_ones_are_listed(site: Site, editor: dict[str, str]) -> None:
    await put(site, editor, SHOP)
    await put(site, editor, {"renditions": []})
    listed = (await site.client.get("/v1/presets")).json()["presets"]
    assert [tuple(each.values()) for each in listed] == [
        ("archive", 1, True, None),
        ("shop", 2, False, "acme"),
        ("thumbnail", 1, True, None),
        ("web", 1, True, None),
    ]
    web = await site.client.get("/v1/presets/web")
    assert [each["name"] for each in web.json()["renditions"]] == ["320", "1280"]


@pytest.mark.parametrize(
    ("name", "said", "headers", "status", "code"),
    [
        ("web", SHOP, {}, 409, "preset_built_in"),
        ("shop", SHOP, {"If-Match": '"3"'}, 412, "preset_changed"),
        ("shop", {**SHOP, "version": 2}, {}, 412, "preset_changed"),
        ("shop", SHOP, {"If-Match": "W/odd"}, 422, "invalid_request"),
        ("shop", SHOP, {"If-None-Match": '"1"'}, 422, "invalid_request"),
        ("shop", SHOP, {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, 400, "checksum_mismatch"),
        ("shop", SHOP, {"X-Goog-Hash": "crc32c=AAAAAA=="}, 400, "invalid_checksum"),
        ("shop", SHOP, {"Content-Encoding": "gzip"}, 415, "unsupported_content_encoding"),
        ("shop", {"renditions": [{"name": "a b"}]}, {}, 422, "invalid_preset"),
        # The document says that these are numbers.
        ("shop", {"renditions": [{"name": "a", "quality": "82"}]}, {}, 422, "invalid_preset"),
        (
            "shop",
            {"renditions": [{"name": "a", "operations": [{"op": "fit", "width": "320"}]}]},
            {},
            422,
            "invalid_preset",
        ),
        ("shop", [], {}, 422, "invalid_preset"),
        ("shop", " " * MAX_PRESET_TEXT, {}, 422, "invalid_preset"),
        ("Shop", SHOP, {}, 422, "unknown_preset"),
        ("shop@3", SHOP, {}, 422, "unknown_preset"),
    ],
)
async def test_what_is_refused_is_not_stored(
    site: Site,
    editor: dict[str, str],
    *,
    name: str,
    said: object,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    answer = await put(site, editor, said, name, **headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    assert await site.lake.store.objects("presets") == []


async def test_only_one_of_two_creators_wins(site: Site, editor: dict[str, str]) -> None:
    said = [{"renditions": [{"name": f"r{n}"}]} for n in range(3)]
    answers = await asyncio.gather(
        *(put(site, editor, each, **{"If-None-Match": "*"}) for each in said)
    )
    assert sorted(each.status_code for each in answers) == [201, 412, 412]
    assert await site.lake.presets.newest_in("acme") == {"shop": 1}


async def test_who_may(site: Site) -> None:
    for headers in (site.key("acme"), site.key("acme", "images:write")):
        answer = await put(site, headers, SHOP)
        assert (answer.status_code, answer.json()["value"]) == (403, "presets:write")
    for headers in (site.key("acme"), site.key("acme", "presets:write")):
        answer = await site.client.put("/v1/shared-presets/shop", json=SHOP, headers=headers)
        assert (answer.status_code, answer.json()["value"]) == (403, "admin")
    nobody = await site.client.get("/v1/presets", headers={"Authorization": "Bearer x"})
    assert nobody.status_code == 401
    writer = site.key("acme", "images:write")
    assert (await site.client.get("/v1/presets/web", headers=writer)).status_code == 403


async def test_the_store_says_who_it_was(site: Site, editor: dict[str, str]) -> None:
    await put(site, editor, SHOP)
    stored = json.loads((await site.lake.store.get("presets/_tenants/acme/shop/1.json"))[0])
    prefix = editor["Authorization"].split("_")[1]
    assert stored["created_by"] == f"key {prefix} of acme"


async def test_the_audit_log_has_each_version_once(site: Site, editor: dict[str, str]) -> None:
    for said in (SHOP, SHOP, dict(SHOP, renditions=[])):
        await put(site, editor, said)
    actor = "key {} of acme".format(editor["Authorization"].split("_")[1])
    events = site.accounts.log.newest(10, subject="preset:acme/shop")
    assert [(each.actor, each.act, each.before, each.after) for each in events] == [
        (
            actor,
            "preset.stored",
            {"version": 1, "tenant": "acme"},
            {"version": 2, "tenant": "acme"},
        ),
        (actor, "preset.stored", None, {"version": 1, "tenant": "acme"}),
    ]


async def test_a_version_is_stored_while_the_audit_log_is_away(
    site: Site, editor: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert (await site.client.get("/v1/presets", headers=editor)).status_code == 200
    with sqlite3.connect(str(site.settings.accounts_url).removeprefix("sqlite:///")) as direct:
        direct.execute("DROP TABLE account_events")
    direct.close()
    assert (await put(site, editor, SHOP)).status_code == 201
    assert "the audit log lacks a preset" in {each.message for each in caplog.records}


@pytest.mark.parametrize("name", ["nope", "web@2", "UP", "a%2fb"])
async def test_presets_that_are_not_there(site: Site, name: str) -> None:
    answer = await site.client.get(f"/v1/presets/{name}")
    assert answer.status_code == 404
    assert answer.json()["code"] in {"preset_not_found", "not_found"}
