"""HEAD is answered where GET is, with the same headers and without a body."""

import httpx
import pytest

from serve_app.accounts import SCOPES
from tests.serve_app.site import Site, serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = ("/", "/docs", "/openapi.json", "/assets/reference.css")


async def test_every_route_that_answers_get_answers_head(site: Site) -> None:
    image_id = (await site.upload()).json()["image_id"]
    site.client.headers.update(site.key("acme", *SCOPES))
    # Presets and tenants both have names in their paths.
    site.accounts.tenants.put("web", suspended=False, actor="test")
    prefix = site.accounts.keys()[0].prefix
    words = {"{image_id}": image_id, "{rendition}": "original", "{name}": "web", "{prefix}": prefix}
    described = site.app.openapi()["paths"]
    paths = [*PAGES, *(path for path, methods in described.items() if "get" in methods)]
    assert len(paths) > len(PAGES) + 6
    async with (
        serving(site.app) as url,
        httpx.AsyncClient(headers=site.client.headers, timeout=60) as client,
    ):
        for template in paths:
            path = template
            for word, value in words.items():
                path = path.replace(word, value)
            got = await client.get(url + path)
            head = await client.head(url + path)
            assert (head.status_code, head.content) == (got.status_code, b"") == (200, b""), path
            for name in ("Content-Type", "Content-Length", "ETag", "Content-Security-Policy"):
                assert head.headers.get(name) == got.headers.get(name), (path, name)


async def test_head_needs_a_key_as_get_does(site: Site) -> None:
    del site.client.headers["Authorization"]
    assert (await site.client.head("/v1/images")).status_code == 401
    assert (await site.client.head("/v1/nonesuch")).status_code == 404
