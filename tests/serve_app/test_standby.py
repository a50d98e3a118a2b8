"""A standby: its images are served, and requests that change something are refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from lake.settings import LakeSettings
from serve_app.accounts import SCOPES
from serve_app.settings import ServeSettings
from tests.serve_app.site import PHOTO, MakeSite, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNKNOWN = "0" * 32
CHANGES = (
    ("POST", "/v1/images"),
    ("DELETE", f"/v1/images/{UNKNOWN}"),
    ("PUT", "/v1/presets/mine"),
    ("POST", "/v1/keys"),
    ("PUT", "/v1/tenants/another"),
)


@pytest_asyncio.fixture(loop_scope="session")
async def standby(make_site: MakeSite, tmp_path: Path) -> Site:
    return await make_site(ServeSettings(home=tmp_path, standby=True))


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_a_standby_refuses_every_change(standby: Site, method: str, path: str) -> None:
    headers = standby.key("acme", *SCOPES)
    stored = await standby.stored()
    refused = await standby.client.request(method, path, content=PHOTO, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (503, "standby")
    assert int(refused.headers["retry-after"]) > 0, "clients of the leader's name try again"
    assert await standby.stored() == stored


async def test_a_standby_writes_nothing_to_its_accounts(standby: Site) -> None:
    assert (await standby.client.get("/v1/images")).status_code == 200
    await standby.app.state.context.usage.flush()
    today = datetime.now(UTC).date()
    [usage] = standby.accounts.usage.days("acme", today - timedelta(days=1), today)[-1:]
    assert (usage.bytes_out, usage.refusals) == (0, {})


async def test_a_standby_serves_images(make_site: MakeSite, tmp_path: Path) -> None:
    store = LakeSettings(store_url=(tmp_path / "lake").as_uri())
    leader = await make_site(ServeSettings(home=tmp_path), store)
    image = (await leader.upload()).json()["image_id"]
    standby = await make_site(ServeSettings(home=tmp_path, standby=True), store)
    assert (await standby.client.get(f"/v1/images/{image}")).status_code == 200
    original = await standby.client.get(f"/v1/images/{image}/original")
    assert (original.status_code, original.content) == (200, PHOTO)
    assert image in {one["image_id"] for one in (await listed(standby))}


async def listed(site: Site) -> list[dict[str, str]]:
    images: list[dict[str, str]] = (await site.client.get("/v1/images")).json()["images"]
    return images


async def test_a_wrong_key_does_not_learn_which_region_leads(standby: Site) -> None:
    wrong = await standby.upload(headers={"Authorization": "Bearer pxl_wrong"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "unauthorized")
    reader = standby.key("acme", "images:read")
    lacking = await standby.upload(headers=reader)
    assert (lacking.status_code, lacking.json()["code"]) == (403, "forbidden")
