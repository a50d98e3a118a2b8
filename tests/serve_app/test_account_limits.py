"""Limits of tenants and keys: stored, set by HTTP and by command, and applied to uploads.

The clock of the limits stands still. Limits of requests and images here are powers of two, and
limits of bytes are far above what a test sends, because the library rounds others down by one.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio

from serve_app.accounts import ADMIN, READ, WRITE, Accounts, Limits
from serve_app.accounts.errors import InvalidAccount, KeyNotFound, TenantNotFound
from serve_app.accounts.limits import MAX_A_SECOND
from serve_app.settings import ServeSettings
from tests.serve_app.site import PHOTO, MakeSite, Site, client_of, png

DAY = timedelta(days=1)
SOME = Limits(requests_per_second=64, bytes_per_second=10)


@pytest.fixture
def database(url: str) -> Iterator[Accounts]:
    opened = Accounts.open(url)
    yield opened
    opened.close()


def test_limits_are_kept_with_the_account_and_come_with_its_key(database: Accounts) -> None:
    issued = database.create_key("acme", [READ], "a")
    prefix = issued.info.prefix
    assert database.limits.of_key(prefix) == database.limits.of_tenant("acme") == Limits()
    database.limits.set_key(prefix, SOME, actor="test")
    database.limits.set_tenant("acme", Limits(images_per_second=2), actor="test")
    for text in (issued.text, database.rotate(prefix, overlap=DAY).text):
        sender = database.verify(text)
        assert sender.key_limits == SOME
        assert sender.tenant_limits == Limits(images_per_second=2)
    database.limits.set_key(prefix, Limits(), actor="test")
    assert database.verify(issued.text).key_limits == Limits()


def test_each_change_of_limits_is_in_the_audit_log_once(database: Accounts) -> None:
    prefix = database.create_key("acme", [READ], "a").info.prefix
    for _ in range(2):
        database.limits.set_key(prefix, SOME, actor="ann")
        database.limits.set_tenant("acme", SOME, actor="ann")
    database.limits.set_tenant("acme", Limits(), actor="ann")
    events = [each for each in database.log.newest(10) if each.act.endswith(".limited")]
    stored = {"requests_per_second": 64, "bytes_per_second": 10}
    assert [(each.act, each.subject, each.before, each.after) for each in events] == [
        ("tenant.limited", "acme", stored, {}),
        ("tenant.limited", "acme", {}, stored),
        ("key.limited", prefix, {}, stored),
    ]


def test_limits_of_nobody_are_an_error(database: Accounts) -> None:
    with pytest.raises(KeyNotFound):
        database.limits.set_key("0" * 12, SOME, actor="test")
    with pytest.raises(TenantNotFound):
        database.limits.set_tenant("nobody", SOME, actor="test")
    with pytest.raises(TenantNotFound):
        database.limits.of_tenant("nobody")


@pytest.mark.parametrize("wrong", [0, -1, 1_000_001])
def test_a_limit_beyond_its_range_is_refused(wrong: int) -> None:
    with pytest.raises(InvalidAccount) as refused:
        Limits(images_per_second=wrong)
    assert (refused.value.limit, refused.value.value) == (1_000_000, wrong)


def test_limits_of_a_later_version_are_ignored() -> None:
    stored = {"requests_per_second": 64, "bytes_per_second": 10, "colours_per_second": 3}
    assert Limits.stored(stored) == SOME


def test_a_larger_limit_of_a_later_version_is_the_largest_of_this_one() -> None:
    stored = {"images_per_second": 2 * MAX_A_SECOND, "bytes_per_second": 10}
    assert Limits.stored(stored) == Limits(images_per_second=MAX_A_SECOND, bytes_per_second=10)


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("throttled.utils.now_mono_f", lambda: 1_000.0)


@pytest_asyncio.fixture(loop_scope="session")
async def admin(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(site.app, site.key("ops", ADMIN)) as client:
        yield client


@pytest.mark.asyncio(loop_scope="session")
async def test_limits_are_set_and_shown_by_http(site: Site, admin: httpx.AsyncClient) -> None:
    prefix = site.accounts.create_key("acme", [WRITE], "a").info.prefix
    for path in ("/v1/tenants/acme/limits", f"/v1/keys/{prefix}/limits"):
        order = {"images_per_second": 3, "bytes_per_second": None}
        done = await admin.put(path, json=order)
        assert done.status_code == 200
        expected = {**Limits().document(), "images_per_second": 3}
        assert (await admin.get(path)).json() == done.json() == expected
        wrong = await admin.put(path, json={"images_per_second": 0})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")
        assert (await admin.put(path, json={"images": 1})).status_code == 422
        assert (await admin.get(path)).json() == expected
        assert (await site.client.get(path)).json()["code"] == "forbidden"
    assert (await admin.put("/v1/tenants/nobody/limits", json={})).json()["code"] == (
        "tenant_not_found"
    )
    assert (await admin.get(f"/v1/keys/{'0' * 12}/limits")).json()["code"] == "key_not_found"


def limited_key(site: Site, limits: Limits, *, of_tenant: bool) -> dict[str, str]:
    issued = site.accounts.create_key("busy", [READ, WRITE], "a")
    if of_tenant:
        site.accounts.limits.set_tenant("busy", limits, actor="test")
    else:
        site.accounts.limits.set_key(issued.info.prefix, limits, actor="test")
    return {"Authorization": f"Bearer {issued.text}"}


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize("of_tenant", [False, True])
async def test_images_a_second_are_limited(site: Site, *, of_tenant: bool) -> None:
    key = limited_key(site, Limits(images_per_second=2), of_tenant=of_tenant)
    answers = [await site.upload(png(seed=n), headers=key) for n in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    problem = answers[2].json()
    assert (problem["code"], problem["limit"]) == ("rate_limited", 2)
    assert answers[2].headers["retry-after"] == "1"
    name = "tenant-images" if of_tenant else "key-images"
    assert answers[0].headers["ratelimit-policy"] == f'"{name}";q=2;w=1'
    assert answers[0].headers["ratelimit"] == f'"{name}";r=1;t=1'
    assert (await site.client.get("/v1/presets", headers=key)).status_code == 200
    assert (await site.upload(png(seed=3))).status_code == 201, "another tenant is not affected"


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize("announced", [True, False])
async def test_bytes_a_second_are_limited_and_one_large_image_fits(
    make_site: MakeSite, settings: ServeSettings, *, announced: bool
) -> None:
    largest = len(PHOTO) + 1_000
    site = await make_site(settings.model_copy(update={"max_bytes": largest}))
    key = limited_key(site, Limits(bytes_per_second=1_000), of_tenant=False)

    async def pieces(data: bytes) -> AsyncIterator[bytes]:
        yield data

    async def upload(data: bytes) -> httpx.Response:
        headers = {**key, "Content-Type": "image/jpeg"}
        body = data if announced else pieces(data)
        return await site.client.post("/v1/images", content=body, headers=headers)

    first = await upload(PHOTO)
    assert first.status_code == 201
    seconds = -(-largest // 1_000)
    assert first.headers["ratelimit-policy"] == (
        f'"key-bytes";q={largest};w={seconds};qu="content-bytes"'
    )
    refused = await upload(PHOTO)
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (429, "rate_limited")
    assert (problem["limit"], problem["value"]) == (1_000, len(PHOTO))
    # The library may round what is left down by one byte.
    missing = 2 * len(PHOTO) - largest
    assert int(refused.headers["retry-after"]) in {-(-missing // 1_000), -(-(missing + 1) // 1_000)}


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.usefixtures("still_clock")
async def test_a_limit_of_the_account_replaces_that_of_the_settings(
    make_site: MakeSite, settings: ServeSettings
) -> None:
    site = await make_site(settings.model_copy(update={"key_requests_per_second": 1}))
    key = limited_key(site, Limits(requests_per_second=4), of_tenant=False)
    answers = [await site.client.get("/v1/limits", headers=key) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429]
    told = answers[0].json()
    assert told["key_requests_per_second"] == 4
    assert told["key_limits"]["requests_per_second"] == 4
    assert told["tenant_limits"]["requests_per_second"] is None
