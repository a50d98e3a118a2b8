"""Lists and records are compressed for clients that accept gzip; other answers are not."""

import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from serve_app.asgi.compression import prefers_gzip
from tests.serve_app.site import PHOTO, Site, png, serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

GZIP = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "identity"}


@pytest_asyncio.fixture(loop_scope="session")
async def client(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """Client that reaches the site by a socket."""
    async with (
        serving(site.app) as url,
        httpx.AsyncClient(base_url=url, headers=site.client.headers, timeout=60) as client,
    ):
        yield client


async def raw(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> httpx.Response:
    """Return the answer, with the bytes as received in `extensions["raw"]`."""
    async with client.stream("GET", path, headers=headers) as answer:
        answer.extensions["raw"] = b"".join([each async for each in answer.aiter_raw()])
    return answer


async def test_lists_and_records_are_compressed(site: Site, client: httpx.AsyncClient) -> None:
    for seed in range(40):
        image_id = (await site.upload(png(seed=seed))).json()["image_id"]
    for path in ("/v1/images", f"/v1/images/{image_id}", "/openapi.json"):
        packed, plain = await raw(client, path, GZIP), await raw(client, path, PLAIN)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.extensions["raw"]) == plain.extensions["raw"], path
        assert int(packed.headers["Content-Length"]) == len(packed.extensions["raw"])
        assert len(packed.extensions["raw"]) < len(plain.extensions["raw"]) * 0.7
        assert "Content-Encoding" not in plain.headers
        for answer in (packed, plain):
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert "ETag" not in answer.headers
        head = await client.head(path, headers=GZIP)
        for name in ("Content-Encoding", "Vary", "Content-Type"):
            assert head.headers.get(name) == packed.headers[name]


async def test_what_is_small_coded_or_named_by_its_bytes_stays(client: httpx.AsyncClient) -> None:
    uploaded = await client.post("/v1/images", content=PHOTO, headers=GZIP)
    assert len(uploaded.content) > 1000
    image_id = uploaded.json()["image_id"]
    original = await raw(client, f"/v1/images/{image_id}/original", GZIP)
    assert original.extensions["raw"] == PHOTO
    assert original.headers["ETag"] == f'"{uploaded.json()["sha256"]}"'
    preset = await raw(client, "/v1/presets/web", GZIP)
    assert preset.headers["ETag"] == '"1"'
    small = await raw(client, "/v1/presets", GZIP)
    refused = await raw(client, f"/v1/images/{'x' * 600}?{'y' * 2000}=1", GZIP)
    assert refused.status_code == 422
    for answer in (uploaded, original, preset, small, refused):
        assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([], False),
        (["gzip"], True),
        (["GZIP , deflate"], True),
        (["br", "x-gzip"], True),
        (["gzip;q=0"], False),
        (["gzip; q=0.000, *"], False),
        (["*"], True),
        (["identity, gzip;q=0.5"], False),
        (["identity;q=0.5, gzip;q=1.0"], True),
        (["gzip;q=much"], False),
        (["notgzip"], False),
    ],
)
async def test_weights_are_honoured(sent: list[str], *, expected: bool) -> None:
    assert prefers_gzip(sent) is expected
