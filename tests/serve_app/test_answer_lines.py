"""Log line of each answer: by its fields an operator finds tenants, codes and slow requests."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from serve_app.settings import ServeSettings
from tests.serve_app.site import PHOTO, MakeSite, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def site(make_site: MakeSite, tmp_path: Path) -> Site:
    return await make_site(ServeSettings(home=tmp_path))


def lines(caplog: pytest.LogCaptureFixture) -> list[Mapping[str, Any]]:
    return [one.__dict__ for one in caplog.records if one.message == "request answered"]


async def test_an_upload_has_a_line_with_its_tenant_and_image(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = await site.upload()
    [line] = lines(caplog)
    wanted = {"method": "POST", "path": "/v1/images", "status": 201, "code": "", "tenant": "acme"}
    assert wanted.items() <= line.items()
    assert line["image_id"] == answer.json()["image_id"]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["ms"] > 0


@pytest.mark.parametrize(
    ("request_line", "route", "code", "tenant"),
    [
        (f"GET /v1/images/{'0' * 32}", "/v1/images/{image_id}", "image_not_found", "acme"),
        ("POST /v1/keys", "/v1/keys", "forbidden", "acme"),
        ("GET /elsewhere", "", "not_found", None),
        ("GET /v1/images?limit=x", "/v1/images", "invalid_request", "acme"),
    ],
)
async def test_a_refusal_has_a_line_with_its_code(
    site: Site,
    caplog: pytest.LogCaptureFixture,
    *,
    request_line: str,
    route: str,
    code: str,
    tenant: str | None,
) -> None:
    with caplog.at_level(logging.INFO):
        answer = await site.client.request(*request_line.split())
    [line] = lines(caplog)
    assert (line["code"], line["status"]) == (code, answer.status_code)
    assert (line["path"], line.get("tenant")) == (route, tenant)


async def test_a_request_without_a_key_has_no_tenant(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await site.client.post("/v1/images", content=PHOTO, headers={"Authorization": "Bearer x"})
    [line] = lines(caplog)
    assert line["code"] == "unauthorized"
    assert "tenant" not in line


async def test_only_a_failing_health_check_has_a_line(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert (await site.client.get("/healthz")).status_code == 200
        assert (await site.client.post("/healthz")).status_code == 405
    assert [line["code"] for line in lines(caplog)] == ["method_not_allowed"]
