"""Every route refuses an unknown query parameter, and suggests the nearest name."""

import pytest

from tests.serve_app.site import PHOTO, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

SOME = "0" * 32


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("POST", "/v1/images?presett=web", "did you mean preset?"),
        ("POST", "/v1/images?Preset=web", "did you mean preset?"),
        ("GET", "/v1/images?limt=5", "did you mean limit?"),
        ("GET", "/v1/images?offset=5", "cursor, fields, format, limit"),
        ("GET", f"/v1/images/{SOME}?x=", "known names: none"),
        ("HEAD", f"/v1/images/{SOME}?x=1", None),
        ("GET", f"/v1/images/{SOME}/original?width=5", "known names: none"),
        ("DELETE", f"/v1/images/{SOME}?force=1", "known names: none"),
        ("GET", "/v1/presets?limit=5", "known names: none"),
        ("PUT", "/v1/presets/a?version=5", "known names: none"),
    ],
)
async def test_unknown_parameters_are_refused(
    site: Site, method: str, path: str, told: str | None
) -> None:
    answer = await site.client.request(method, path, content=PHOTO if method == "POST" else None)
    assert answer.status_code == 422
    if told is not None:
        assert answer.json()["code"] == "invalid_request"
        assert told in answer.json()["detail"]
        assert answer.json()["value"] == path.partition("?")[2].partition("=")[0]


@pytest.mark.parametrize("query", ["preset=web&preset=web", "preset=web&preset=thumbnail"])
async def test_a_parameter_that_comes_twice_is_refused(site: Site, query: str) -> None:
    answer = await site.client.post(f"/v1/images?{query}", content=PHOTO)
    assert (answer.status_code, answer.json()["value"]) == (422, 2)


async def test_what_a_route_takes_passes_and_pages_for_people_take_anything(site: Site) -> None:
    assert (await site.client.get("/v1/images?limit=5")).status_code == 200
    assert (await site.client.get("/healthz?probe=7")).status_code == 200
    assert (await site.client.get("/?utm_source=mail")).status_code == 200
    assert (await site.client.get("/v1/nonesuch?x=1")).status_code == 404
