"""An `Idempotency-Key` that is sent again with other bytes never yields the first image."""

import asyncio
from datetime import datetime, timedelta

import httpx
import pytest

from lake.store.clock import StoreClock
from tests.serve_app.site import PHOTO, Site, png

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = {"Idempotency-Key": "order-7/photo-1"}
OTHER = png(32, 24, seed=1)


def conflicts(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")


async def original_of(site: Site, answer: httpx.Response) -> bytes:
    return (await site.client.get(answer.json()["links"]["original"])).content


async def test_in_a_race_one_content_wins_and_the_others_hear_of_it(site: Site) -> None:
    sent = [PHOTO, OTHER] * 4
    answers = await asyncio.gather(*(site.upload(data, headers=KEY) for data in sent))
    stored = [pair for pair in zip(sent, answers, strict=True) if pair[1].is_success]
    (winner,) = {data for data, _ in stored}
    assert all(
        conflicts(answer) for data, answer in zip(sent, answers, strict=True) if data != winner
    )
    assert await original_of(site, stored[0][1]) == winner
    listed = (await site.client.get("/v1/images")).json()
    assert len(listed["images"]) == 1
    originals = [key for key in await site.stored() if "/original-" in key]
    assert len(originals) == 1


async def test_after_an_erasure_the_same_bytes_are_gone_and_others_a_conflict(site: Site) -> None:
    image_id = (await site.upload(headers=KEY)).json()["image_id"]
    erased = await site.client.delete(f"/v1/images/{image_id}")
    assert erased.status_code == 204
    before = set(await site.stored())
    again = await site.upload(headers=KEY)
    assert (again.status_code, again.json()["code"]) == (410, "image_erased")
    # Not 410: a client would conclude that these bytes were erased, and drop them.
    assert conflicts(await site.upload(OTHER, headers=KEY))
    assert set(await site.stored()) == before


async def test_after_the_expiry_the_key_is_free(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await site.upload(headers=KEY)
    now = StoreClock.now
    week = timedelta(days=7, minutes=4)

    def later(clock: StoreClock) -> datetime:
        return now(clock) + week

    monkeypatch.setattr(StoreClock, "now", later)
    second = await site.upload(OTHER, headers=KEY)
    assert second.status_code == 201
    assert second.json()["image_id"] == first.json()["image_id"]
    assert await original_of(site, second) == OTHER
    assert conflicts(await site.upload(headers=KEY))


async def test_another_tenants_key_is_another_key(site: Site) -> None:
    first = await site.upload(headers=KEY)
    second = await site.upload(OTHER, headers={**KEY, **site.key("other")})
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["image_id"] != second.json()["image_id"]
    assert await original_of(site, first) == PHOTO


@pytest.mark.parametrize("bad", [b"no image", PHOTO[:-3000]], ids=["no image", "cut"])
async def test_a_refused_upload_leaves_the_key_to_the_right_one(site: Site, bad: bytes) -> None:
    before = set(await site.stored())
    refused = await site.upload(bad, headers=KEY)
    assert refused.status_code in {415, 422}
    assert set(await site.stored()) == before
    right = await site.upload(headers=KEY)
    assert right.status_code == 201
    assert await original_of(site, right) == PHOTO
    # A refused upload under a used key changes nothing, either.
    assert not (await site.upload(bad, headers=KEY)).is_success
    assert (await site.upload(headers=KEY)).status_code == 200
