"""Refusal of a method names the methods that the path allows (RFC 9110, 15.5.6)."""

import pytest

from tests.serve_app.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOME = "0" * 32


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/images", "GET, HEAD, POST"),
        (f"/v1/images/{SOME}", "DELETE, GET, HEAD"),
        (f"/v1/images/{SOME}/original", "GET, HEAD"),
        ("/v1/limits", "GET, HEAD"),
        ("/v1/presets", "GET, HEAD"),
        ("/v1/presets/web", "GET, HEAD, PUT"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
        ("/docs", "GET, HEAD"),
        ("/", "GET, HEAD"),
    ],
)
async def test_a_refused_method_is_told_the_others(site: Site, path: str, allowed: str) -> None:
    for method in ("OPTIONS", "PATCH", "TRACE", "OTHER"):
        answer = await site.client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), method
        assert answer.json()["code"] == "method_not_allowed"
    refused = {"GET", "HEAD", "POST", "PUT", "DELETE"} - set(allowed.split(", "))
    for method in refused:
        answer = await site.client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), method
