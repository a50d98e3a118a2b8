"""Keys and tenants by HTTP: contract, rights, and effects on the tenants' requests."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from serve_app.accounts import FIRST_TENANT, SCOPES
from serve_app.administration.changes import MAX_BODY
from serve_app.problems import MEDIA_TYPE
from serve_app.settings import ServeSettings
from tests.serve_app.site import MakeSite, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def site(make_site: MakeSite, settings: ServeSettings) -> Site:
    """Site that looks each key up again for each request."""
    return await make_site(settings.model_copy(update={"key_cache_seconds": 0}))


@pytest_asyncio.fixture(loop_scope="session")
async def admin(site: Site) -> httpx.AsyncClient:
    site.client.headers.update(site.key("ops", "admin"))
    return site.client


async def create(admin: httpx.AsyncClient, **order: Any) -> dict[str, Any]:
    answer = await admin.post("/v1/keys", json={"tenant": "acme", "name": "camera", **order})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_a_created_key_works_within_its_scopes_and_is_shown_once(
    site: Site, admin: httpx.AsyncClient
) -> None:
    answer = await admin.post("/v1/keys", json={"tenant": "shop", "name": "camera 7"})
    made = answer.json()
    assert answer.headers["Location"] == f"/v1/keys/{made['prefix']}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert made["scopes"] == ["images:read", "images:write"]
    uploaded = await site.upload(headers=bearer(made["key"]))
    assert uploaded.status_code == 201
    refused = await admin.delete(uploaded.headers["Location"], headers=bearer(made["key"]))
    assert (refused.status_code, refused.json()["value"]) == (403, "images:erase")
    shown = (await admin.get(answer.headers["Location"])).json()
    assert {**shown, "key": made["key"]} == {**made, "last_used_at": shown["last_used_at"]}
    listed = (await admin.get("/v1/keys", params={"tenant": "shop"})).text
    assert made["prefix"] in listed
    assert made["key"].split("_")[2] not in listed


async def test_the_scope_erase_erases(site: Site, admin: httpx.AsyncClient) -> None:
    image = (await site.upload(headers=site.key("acme"))).headers["Location"]
    eraser = await create(admin, scopes=["images:erase"])
    assert (await admin.delete(image, headers=bearer(eraser["key"]))).status_code == 204
    assert (await admin.get(image, headers=bearer(eraser["key"]))).status_code == 403


async def test_an_admin_reads_no_image(admin: httpx.AsyncClient) -> None:
    for path in ("/v1/images", f"/v1/images/{'0' * 32}", "/v1/presets"):
        assert (await admin.get(path)).status_code == 403


async def test_every_administrative_route_wants_the_scope_admin(site: Site) -> None:
    others = site.key("acme", *sorted(SCOPES - {"admin"}))
    asked = 0
    for path, methods in site.app.openapi()["paths"].items():
        if not path.startswith(("/v1/keys", "/v1/tenants")):
            continue
        for method in methods:
            real = path.format(prefix="0" * 12, name="acme")
            answer = await site.client.request(method.upper(), real, headers=others)
            assert (answer.status_code, answer.json()["value"]) == (403, "admin"), (method, path)
            asked += 1
    assert asked == 13
    assert site.accounts.log.newest(1)[0].actor == "service"


async def test_a_revoked_key_is_refused_and_stays_listed(
    site: Site, admin: httpx.AsyncClient
) -> None:
    made = await create(admin)
    for _ in range(2):  # a retry is the same
        revoked = await admin.post(f"/v1/keys/{made['prefix']}/revoke")
        assert (revoked.status_code, revoked.json()["revoked_at"] is None) == (200, False)
    refused = await site.upload(headers=bearer(made["key"]))
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    shown = (await admin.get(f"/v1/keys/{made['prefix']}")).json()
    assert shown == revoked.json()
    missing = await admin.post(f"/v1/keys/{'0' * 12}/revoke")
    assert (missing.status_code, missing.json()["code"]) == (404, "key_not_found")


async def test_a_rotation_overlaps(admin: httpx.AsyncClient) -> None:
    old = await create(admin, scopes=["images:read"])
    path = f"/v1/keys/{old['prefix']}/rotate"
    new = (await admin.post(path, json={"overlap_seconds": 3600})).json()
    for key in (old, new):
        listed = await admin.get("/v1/images", headers=bearer(key["key"]))
        assert listed.status_code == 200
    ends = (await admin.get(f"/v1/keys/{old['prefix']}")).json()["expires_at"]
    assert datetime.fromisoformat(ends) < datetime.now(UTC) + timedelta(hours=1)
    path = f"/v1/keys/{new['prefix']}/rotate"
    assert (await admin.post(path, json={"overlap_seconds": 0})).status_code == 201
    late = await admin.get("/v1/images", headers=bearer(new["key"]))
    assert (late.status_code, late.json()["code"]) == (401, "unauthorized")
    again = await admin.post(path, json={})
    assert (again.status_code, again.json()["code"]) == (404, "key_not_found")


async def test_keys_are_paged(admin: httpx.AsyncClient) -> None:
    made = [(await create(admin, tenant="paged"))["prefix"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        params = {"tenant": "paged", "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await admin.get("/v1/keys", params=params)).json()
        seen += [key["prefix"] for key in page["keys"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == made


async def test_a_suspended_tenant_gets_403_everywhere_until_it_is_resumed(
    site: Site, admin: httpx.AsyncClient
) -> None:
    key = bearer((await create(admin, tenant="late"))["key"])
    assert (await site.upload(headers=key)).status_code == 201
    suspended = await admin.put("/v1/tenants/late", json={"suspended": True})
    assert suspended.status_code == 200
    assert suspended.json()["suspended_at"] is not None
    for answer in (await site.upload(headers=key), await admin.get("/v1/images", headers=key)):
        assert answer.status_code == 403
        assert answer.headers["Content-Type"] == MEDIA_TYPE
        assert (answer.json()["code"], answer.json()["value"]) == ("tenant_suspended", "late")
    assert (await admin.put("/v1/tenants/late", json={})).json()["suspended_at"] is None
    assert (await admin.get("/v1/images", headers=key)).status_code == 200


async def test_tenants_are_created_once_shown_and_paged(admin: httpx.AsyncClient) -> None:
    made = await admin.put("/v1/tenants/t2", json={})
    assert (made.status_code, made.headers["Location"]) == (201, "/v1/tenants/t2")
    assert (await admin.put("/v1/tenants/t2", json={})).status_code == 200
    await admin.put("/v1/tenants/t1", json={"suspended": True})
    assert (await admin.get("/v1/tenants/t1")).json()["suspended_at"] is not None
    first = (await admin.get("/v1/tenants", params={"limit": 1})).json()
    rest = (await admin.get("/v1/tenants", params={"cursor": first["next"]})).json()
    names = [tenant["name"] for tenant in first["tenants"] + rest["tenants"]]
    assert names == ["acme", "ops", "t1", "t2"]
    missing = await admin.get("/v1/tenants/nobody")
    assert (missing.status_code, missing.json()["code"]) == (404, "tenant_not_found")


async def test_changes_are_logged_under_the_callers_key(
    site: Site, admin: httpx.AsyncClient
) -> None:
    made = await create(admin)
    [event] = site.accounts.log.newest(1)
    prefix = admin.headers["Authorization"].split("_")[1]
    assert (event.actor, event.act) == (f"key {prefix} of ops", "key.created")
    assert event.subject == made["prefix"]


BAD_KEYS: list[Any] = [
    {},
    [],
    {"tenant": "acme"},
    {"tenant": "Not A Name", "name": "a"},
    {"tenant": "a" * 64, "name": "a"},
    {"tenant": "acme", "name": ""},
    {"tenant": "acme", "name": "n" * 101},
    {"tenant": "acme", "name": "a\nb"},
    {"tenant": "acme", "name": "a", "scopes": []},
    {"tenant": "acme", "name": "a", "scopes": ["everything"]},
    {"tenant": "acme", "name": "a", "expires_at": "2026-12-31T00:00:00"},
    {"tenant": "acme", "name": "a", "expires_at": "2020-01-01T00:00:00Z"},
    {"tenant": "acme", "name": "a", "colour": "red"},
]


@pytest.mark.parametrize("order", BAD_KEYS)
async def test_a_bad_order_is_refused_and_makes_nothing(
    site: Site, admin: httpx.AsyncClient, order: Any
) -> None:
    before = site.accounts.log.newest(1)
    answer = await admin.post("/v1/keys", json=order)
    assert answer.status_code == 422
    assert answer.json()["code"] in {"invalid_request", "invalid_account"}
    assert answer.json()["detail"]
    assert site.accounts.log.newest(1) == before


async def test_bodies_are_bounded_and_decoded_strictly(admin: httpx.AsyncClient) -> None:
    large = await admin.post("/v1/keys", content=b" " * (MAX_BODY + 1))
    assert (large.status_code, large.json()["limit"]) == (422, MAX_BODY)
    for body in (b"", b"{", b"\xff", b"[" * 10_000):
        assert (await admin.post("/v1/keys", content=body)).status_code == 422
    zipped = await admin.post("/v1/keys", content=b"{}", headers={"Content-Encoding": "gzip"})
    assert zipped.status_code == 415
    for path in ("/v1/tenants/Nope!", f"/v1/tenants/{'a' * 64}"):
        assert (await admin.put(path, json={})).status_code == 422
    for overlap in (-1, 10**9, "soon"):
        order = {"overlap_seconds": overlap}
        assert (await admin.post(f"/v1/keys/{'0' * 12}/rotate", json=order)).status_code == 422


async def test_the_last_use_is_shown(admin: httpx.AsyncClient) -> None:
    made = await create(admin)
    assert made["last_used_at"] is None
    async with asyncio.timeout(30):
        while (await admin.get(f"/v1/keys/{made['prefix']}")).json()["last_used_at"] is None:
            assert (await admin.get("/v1/images", headers=bearer(made["key"]))).status_code == 200


async def test_the_document_names_the_scope_of_each_route(site: Site) -> None:
    paths = site.app.openapi()["paths"]
    scopes = {
        (method, path): described["security"][0]["HTTPBearer"]
        for path, methods in paths.items()
        for method, described in methods.items()
        if described.get("security")
    }
    assert scopes["delete", "/v1/images/{image_id}"] == ["images:erase"]
    assert scopes["post", "/v1/images"] == ["images:write"]
    assert scopes["get", "/v1/images"] == ["images:read"]
    assert scopes["put", "/v1/presets/{name}"] == ["presets:write"]
    assert scopes["post", "/v1/keys"] == ["admin"]
    # The document is true: a key with all other scopes is refused on each route.
    for (method, path), [scope] in scopes.items():
        others = site.key(FIRST_TENANT, *sorted(SCOPES - {scope}))
        real = path.format(image_id="0" * 32, rendition="original", name="acme", prefix="0" * 12)
        answer = await site.client.request(method.upper(), real, headers=others)
        assert (answer.status_code, answer.json()["value"]) == (403, scope), (method, path)
