"""Limits of a day, by HTTP."""

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lake.errors import UnreadableObject
from serve_app.accounts import READ, WRITE, Accounts, Limits
from serve_app.accounts.calls import AccountsCalls
from serve_app.accounts.errors import AccountsUnavailable
from serve_app.settings import ServeSettings
from tests.serve_app.site import PHOTO, MakeSite, Site, png

aio = pytest.mark.asyncio(loop_scope="session")
NOON = datetime(2026, 12, 3, 12, tzinfo=UTC)


def limited(site: Site, limits: Limits, *, of_tenant: bool = False) -> dict[str, str]:
    issued = site.accounts.create_key("busy", [READ, WRITE], "a")
    if of_tenant:
        site.accounts.limits.set_tenant("busy", limits, actor="test")
    else:
        site.accounts.limits.set_key(issued.info.prefix, limits, actor="test")
    return {"Authorization": f"Bearer {issued.text}"}


def at(site: Site, moment: datetime) -> None:
    site.app.state.context.usage.now = lambda: moment


@aio
@pytest.mark.parametrize("of_tenant", [False, True])
async def test_images_a_day_are_limited_until_midnight(site: Site, *, of_tenant: bool) -> None:
    at(site, NOON)
    key = limited(site, Limits(images_per_day=2), of_tenant=of_tenant)
    answers = [await site.upload(png(seed=n), headers=key) for n in (0, 0, 1, 2)]
    assert [answer.status_code for answer in answers] == [201, 200, 201, 429]
    refused = answers[3]
    problem = refused.json()
    assert (problem["code"], problem["limit"], problem["value"]) == ("quota_exceeded", 2, 3)
    assert refused.headers["retry-after"] == str(12 * 3600)
    name = "tenant-images-day" if of_tenant else "key-images-day"
    assert answers[0].headers["ratelimit-policy"] == f'"{name}";q=2;w=86400'
    assert answers[0].headers["ratelimit"] == f'"{name}";r=1;t={12 * 3600}'
    assert refused.headers["ratelimit"] == f'"{name}";r=0;t={12 * 3600}'
    await site.app.state.context.usage.flush()
    assert (await site.upload(png(seed=2), headers=key)).status_code == 429
    at(site, NOON + timedelta(hours=12))
    assert (await site.upload(png(seed=2), headers=key)).status_code == 201


@aio
async def test_bytes_a_day_are_limited_by_what_is_received(site: Site) -> None:
    at(site, NOON)
    key = limited(site, Limits(bytes_per_day=len(PHOTO) + 100))
    assert (await site.upload(PHOTO, headers=key)).status_code == 201
    before = await site.stored()
    refused = await site.upload(png(64, 64), headers=key)
    problem = refused.json()
    assert (problem["code"], problem["limit"]) == ("quota_exceeded", len(PHOTO) + 100)
    assert problem["value"] == len(PHOTO) + len(png(64, 64))
    form = {"file": ("a.png", png(64, 64), "image/png")}
    assert (await site.client.post("/v1/images", files=form, headers=key)).status_code == 429
    assert await site.stored() == before


@aio
async def test_a_repeated_upload_is_answered_after_the_day_is_used(site: Site) -> None:
    key = limited(site, Limits(images_per_day=1, bytes_per_day=len(png())))
    named = {**key, "Idempotency-Key": "one"}
    first = await site.upload(png(), headers=named)
    assert first.status_code == 201

    async def pieces() -> AsyncIterator[bytes]:
        yield png()

    image = {"Content-Type": "image/png"}
    for again in (
        site.upload(png(), headers=named),
        site.client.post("/v1/images", content=pieces(), headers={**named, **image}),
        site.client.post("/v1/images", files={"file": ("a.png", png())}, headers=named),
    ):
        answer = await again
        assert (answer.status_code, answer.json()) == (200, first.json())
        assert "retry-after" not in answer.headers
    # Other bytes would have to be processed to tell a conflict.
    assert (await site.upload(png(seed=1), headers=named)).status_code == 429
    other = {**key, "Idempotency-Key": "two"}
    refused = await site.upload(png(seed=1), headers=other)
    assert (refused.status_code, "retry-after" in refused.headers) == (429, True)


@aio
async def test_a_repeated_upload_whose_record_can_not_be_read_is_no_new_image(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = limited(site, Limits(images_per_day=1))
    named = {**key, "Idempotency-Key": "one"}
    assert (await site.upload(headers=named)).status_code == 201

    async def unreadable(*_: object) -> None:
        raise UnreadableObject("damaged")

    monkeypatch.setattr(site.app.state.context.worker, "replay", unreadable)
    refused = await site.upload(headers=named)
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")


@aio
async def test_a_form_uses_the_bytes_of_its_image(site: Site) -> None:
    key = limited(site, Limits(bytes_per_day=len(PHOTO)))
    form = {"file": ("a.jpg", PHOTO, "image/jpeg")}
    assert (await site.client.post("/v1/images", files=form, headers=key)).status_code == 201


@aio
async def test_a_day_counts_what_other_processes_added(
    make_site: MakeSite, settings: ServeSettings
) -> None:
    sites = [await make_site(settings) for _ in range(2)]
    key = limited(sites[0], Limits(images_per_day=2))
    for n, site in enumerate(sites):
        at(site, NOON)
        assert (await site.upload(png(seed=n), headers=key)).status_code == 201
        await site.app.state.context.usage.flush()
    for site in sites:
        await site.app.state.context.usage.flush()
        refused = await site.upload(png(seed=5), headers=key)
        assert refused.json()["value"] == 3


@aio
async def test_a_refused_upload_uses_nothing_of_the_day(site: Site) -> None:
    at(site, NOON)
    key = limited(site, Limits(images_per_day=1, bytes_per_day=10_000_000))
    for _ in range(3):
        assert (await site.upload(b"no image", headers=key)).status_code == 415
    assert (await site.upload(headers=key)).status_code == 201


@aio
async def test_without_the_database_this_process_limits_by_itself(
    make_site: MakeSite, settings: ServeSettings, tmp_path: Path
) -> None:
    site = await make_site(settings)
    key = limited(site, Limits(images_per_day=2))
    assert (await site.client.get("/v1/presets", headers=key)).status_code == 200
    file = tmp_path / "other.sqlite"
    away = Accounts.open(f"sqlite:///{file}")
    counts = site.app.state.context.usage
    real, counts.accounts = counts.accounts, AccountsCalls(away)
    with sqlite3.connect(file) as direct:
        direct.execute("DROP TABLE usage")
    direct.close()
    statuses = [(await site.upload(png(seed=n), headers=key)).status_code for n in range(3)]
    assert statuses == [201, 201, 429]
    with pytest.raises(AccountsUnavailable):
        await counts.flush()
    counts.accounts = real
    await counts.flush()
    today = datetime.now(UTC).date()
    [day] = site.accounts.usage.days("busy", today, today)
    assert day.images == 2, "nothing was lost or added twice"
    away.close()
