"""A route that is marked as deprecated says so in each answer and in the document."""

import re
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import http_sf
import httpx
import pytest
from fastapi import APIRouter
from fastapi.responses import JSONResponse

from lake.errors import ImageNotFound
from serve_app import images
from serve_app.deprecation import LEAST_DAYS, Deprecation, deprecated
from serve_app.settings import ServeSettings
from tests.serve_app.site import MakeSite, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

LINK = "https://docs.example/old"
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def old_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a deprecated route, at a path whose answers are compressed."""
    router = APIRouter()

    @router.get("/v1/images/old")
    @deprecated(since=date(2027, 1, 4), sunset=date(2027, 9, 1), link=LINK)
    async def old(*, fail: bool = False) -> JSONResponse:
        if fail:
            raise ImageNotFound("no", value="old")
        return JSONResponse({})

    router.routes += images.router.routes
    monkeypatch.setattr(images, "router", router)


async def test_each_answer_of_a_deprecated_route_says_when_it_ends(
    old_route: None, make_site: MakeSite, tmp_path: Path
) -> None:
    del old_route
    site = await make_site(ServeSettings(home=tmp_path))
    for fail, status in (("false", 200), ("true", 404)):
        for method in ("GET", "HEAD"):
            answer = await site.client.request(method, "/v1/images/old", params={"fail": fail})
            assert answer.status_code == status
            check(answer)
    described = site.app.openapi()["paths"]["/v1/images/old"]["get"]
    assert described["deprecated"] is True


def check(answer: httpx.Response) -> None:
    since = http_sf.parse(answer.headers["Deprecation"].encode(), tltype="item")
    assert isinstance(since, tuple)
    assert since[0] == datetime(2027, 1, 4, tzinfo=UTC)
    assert parsedate_to_datetime(answer.headers["Sunset"]) == datetime(2027, 9, 1, tzinfo=UTC)
    assert answer.headers["Link"] == f'<{LINK}>; rel="deprecation"; type="text/html"'


async def test_other_routes_say_nothing(site: Site) -> None:
    answer = await site.client.get("/v1/presets")
    assert not {"Deprecation", "Sunset", "Link"} & set(answer.headers)
    for operations in site.app.openapi()["paths"].values():
        assert not any(operation.get("deprecated") for operation in operations.values())


async def test_a_route_is_not_ended_early() -> None:
    with pytest.raises(ValueError, match=str(LEAST_DAYS)):
        Deprecation(date(2027, 1, 1), date(2027, 5, 1), LINK)
    policy = re.findall(r"at least (\d+) days", (DOCS / "api.md").read_text())
    assert policy == [str(LEAST_DAYS)]
