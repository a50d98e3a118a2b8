"""CORS: off by default, for exact origins, preflights without a key, never with credentials."""

from pathlib import Path

import pytest

from serve_app.settings import ServeSettings
from tests.serve_app.site import MakeSite, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

OURS = "https://app.example.com"
ASKED = {"Access-Control-Request-Method": "POST"}


async def with_origins(make_site: MakeSite, home: Path) -> Site:
    origins = f"{OURS}, http://127.0.0.1:5173"
    return await make_site(ServeSettings(home=home, cors_origins=origins))


async def test_without_the_setting_no_page_of_another_origin_gets_anything(site: Site) -> None:
    preflight = await site.client.options("/v1/images", headers={"Origin": OURS, **ASKED})
    assert preflight.status_code == 405
    got = await site.client.get("/v1/images", headers={"Origin": OURS})
    assert got.status_code == 200
    for answer in (preflight, got):
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_preflight_needs_no_key(make_site: MakeSite, tmp_path: Path) -> None:
    site = await with_origins(make_site, tmp_path)
    del site.client.headers["Authorization"]
    wanted = "authorization,x-pixlake-meta-camera,idempotency-key"
    answer = await site.client.options(
        "/v1/images?preset=web",
        headers={"Origin": OURS, **ASKED, "Access-Control-Request-Headers": wanted},
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == OURS
    assert answer.headers["Access-Control-Allow-Headers"] == wanted
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    assert "Origin" in answer.headers["Vary"]
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://app.example.com.evil.example",
        "null",
        "http://app.example.com",
        "https://app.example.com:8443",
        "*",
    ],
)
async def test_another_origin_gets_nothing(
    make_site: MakeSite, tmp_path: Path, origin: str
) -> None:
    site = await with_origins(make_site, tmp_path)
    preflight = await site.client.options("/v1/images", headers={"Origin": origin, **ASKED})
    got = await site.client.get("/v1/images", headers={"Origin": origin})
    assert (preflight.status_code, got.status_code) == (405, 200)
    for answer in (preflight, got):
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in got.headers["Vary"]


async def test_a_page_can_read_what_clients_need(make_site: MakeSite, tmp_path: Path) -> None:
    site = await with_origins(make_site, tmp_path)
    stored = await site.upload(headers={"Origin": OURS})
    path = stored.json()["links"]["original"]
    part = await site.client.get(path, headers={"Origin": OURS, "Range": "bytes=0-9"})
    del site.client.headers["Authorization"]
    unkeyed = await site.client.get(path, headers={"Origin": OURS})
    huge = await site.client.get(path, headers={"Origin": OURS, "X-Long": "y" * 40_000})
    answers = (stored, part, unkeyed, huge)
    assert [answer.status_code for answer in answers] == [201, 206, 401, 431]
    always = {"content-type", "content-length", "cache-control"}
    safety = {"x-content-type-options", "content-security-policy", "referrer-policy", "vary"}
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == OURS
        assert "Access-Control-Allow-Credentials" not in answer.headers
        exposed = set(answer.headers["Access-Control-Expose-Headers"].lower().split(", "))
        sent = {name for name in answer.headers if not name.startswith("access-control")}
        assert sent - always - safety <= exposed, answer.status_code
    assert {"ratelimit", "ratelimit-policy", "retry-after", "deprecation", "sunset"} <= exposed


async def test_compressed_answers_vary_by_both(make_site: MakeSite, tmp_path: Path) -> None:
    site = await with_origins(make_site, tmp_path)
    answer = await site.client.get("/openapi.json", headers={"Origin": OURS})
    assert {"Origin", "Accept-Encoding"} <= set(answer.headers["Vary"].split(", "))


@pytest.mark.parametrize(
    "wrong",
    [
        "*",
        "null",
        "app.example.com",
        "https://app.example.com/",
        "https://*.example.com",
        "https://a.example https://b.example",
        "https://App.example.com",
        "ftp://a.example",
    ],
)
async def test_a_wrong_origin_is_refused_at_the_start(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        ServeSettings(home=tmp_path, cors_origins=f"{OURS},{wrong}")
