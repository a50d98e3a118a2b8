"""Limits of requests a second, of each key and of each tenant.

The limits here are powers of two. While the clock stands still, the library rounds others down.
"""

import re
from pathlib import Path

import http_sf
import httpx
import pytest

from serve_app.accounts import SCOPES
from serve_app.settings import ServeSettings
from tests.serve_app.site import MakeSite, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock of the limits, so that time passes only when a test says so."""
    clock = Clock()
    monkeypatch.setattr("throttled.utils.now_mono_f", clock)
    return clock


async def read(site: Site, headers: dict[str, str] | None = None) -> httpx.Response:
    return await site.client.get("/v1/presets", headers=headers)


async def statuses(site: Site, count: int, headers: dict[str, str] | None = None) -> list[int]:
    return [(await read(site, headers)).status_code for _ in range(count)]


def limited(tmp_path: Path, *, key: int | None = None, tenant: int | None = None) -> ServeSettings:
    return ServeSettings(
        home=tmp_path, key_requests_per_second=key, tenant_requests_per_second=tenant
    )


async def test_a_key_above_its_rate_is_refused_until_time_passes(
    make_site: MakeSite, tmp_path: Path, clock: Clock
) -> None:
    site = await make_site(limited(tmp_path, key=4))
    assert await statuses(site, 4) == [200] * 4
    refused = await read(site)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    problem = refused.json()
    assert (problem["code"], problem["limit"]) == ("rate_limited", 4)
    clock.now += 0.25
    assert await statuses(site, 2) == [200, 429], "a quarter of a second gives one request of four"
    clock.now += 60
    assert await statuses(site, 5) == [200] * 4 + [429], "an idle key saves one second, not more"


async def test_other_keys_and_tenants_are_not_affected(
    make_site: MakeSite, tmp_path: Path, clock: Clock
) -> None:
    site = await make_site(limited(tmp_path, key=4, tenant=4))
    other_key, other_tenant = site.key("acme"), site.key("rival")
    assert await statuses(site, 3) == [200] * 3
    assert await statuses(site, 3, other_key) == [200, 429, 429], "the tenant has one request left"
    assert await statuses(site, 5, other_tenant) == [200] * 4 + [429]
    clock.now += 0.25
    # The tenant's limit refused two requests of the key. They do not count for the key.
    assert (await read(site, other_key)).headers["ratelimit"] == '"key";r=3;t=1, "tenant";r=0;t=1'


async def test_an_upload_is_counted_and_refused_before_its_body(
    make_site: MakeSite, tmp_path: Path, clock: Clock
) -> None:
    del clock  # no time passes
    site = await make_site(limited(tmp_path, key=1))
    assert (await site.upload()).status_code == 201
    before = await site.stored()
    refused = await site.upload(b"not an image")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert await site.stored() == before


async def test_headers_tell_the_limits_and_what_is_left(
    make_site: MakeSite, tmp_path: Path, clock: Clock
) -> None:
    del clock
    site = await make_site(limited(tmp_path, key=2, tenant=4))
    answers = [await read(site) for _ in range(3)]
    for answer, (of_key, of_tenant) in zip(answers, [(1, 3), (0, 2), (0, 2)], strict=True):
        policy = http_sf.parse(answer.headers["ratelimit-policy"].encode(), tltype="list")
        assert policy == [("key", {"q": 2, "w": 1}), ("tenant", {"q": 4, "w": 1})]
        left = http_sf.parse(answer.headers["ratelimit"].encode(), tltype="list")
        assert left == [("key", {"r": of_key, "t": 1}), ("tenant", {"r": of_tenant, "t": 1})]


async def test_every_route_with_a_key_counts_and_says_so_in_the_document(
    make_site: MakeSite, tmp_path: Path, clock: Clock
) -> None:
    del clock
    site = await make_site(limited(tmp_path, key=1))
    key = site.key("acme", *SCOPES)
    await read(site, key)
    routes = 0
    for path, operations in site.app.openapi()["paths"].items():
        for method, operation in operations.items():
            if "security" not in operation:
                continue
            routes += 1
            documented = operation["responses"].get("429", {}).get("headers", {})
            refused = await site.client.request(
                method, re.sub(r"{[^}]*}", "0" * 32, path), headers=key, json={}
            )
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited"), path
            assert {"Retry-After", "RateLimit", "RateLimit-Policy"} == set(documented), path
            assert all(name in refused.headers for name in documented), path
    assert routes > 10


async def test_a_client_can_ask_for_its_limits(make_site: MakeSite, tmp_path: Path) -> None:
    site = await make_site(limited(tmp_path, key=4))
    answer = (await site.client.get("/v1/limits")).json()
    assert answer["key_requests_per_second"] == 4
    assert answer["tenant_requests_per_second"] is None


async def test_without_limits_no_answer_has_the_headers(site: Site) -> None:
    assert await statuses(site, 20) == [200] * 20
    assert not any(name.startswith("ratelimit") for name in (await read(site)).headers)


async def test_refused_keys_learn_nothing_about_limits(
    make_site: MakeSite, tmp_path: Path, clock: Clock
) -> None:
    del clock
    site = await make_site(limited(tmp_path, key=1))
    await read(site)
    unknown = await read(site, {"Authorization": "Bearer pxl_x"})
    assert unknown.status_code == 401
    assert "ratelimit" not in unknown.headers


@pytest.mark.parametrize("wrong", [0, -1, 1_000_001])
async def test_an_impossible_limit_is_refused_at_the_start(tmp_path: Path, wrong: int) -> None:
    with pytest.raises(ValueError, match="key_requests_per_second"):
        limited(tmp_path, key=wrong)
