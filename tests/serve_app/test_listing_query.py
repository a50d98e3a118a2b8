"""Conditions and fields of GET /v1/images; each of them is refused if it is not understood."""

from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.serve_app.site import PHOTO, Site, png

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def images(site: Site) -> list[dict[str, Any]]:
    """Records of a photo and of two PNG files, oldest first."""
    metadata = {"X-Pixlake-Meta-Device": "7"}
    made = [
        await site.upload(PHOTO, headers=metadata),
        await site.upload(png(seed=1), params={"preset": "thumbnail"}),
        await site.upload(png(seed=2), headers={"X-Pixlake-Meta-Device": "8"}),
    ]
    return [answer.raise_for_status().json() for answer in made]


async def listed(site: Site, **params: str) -> list[str]:
    """Ids of all pages of one image."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await site.client.get("/v1/images", params={"limit": "1", **params, **cursor})
        page = answer.raise_for_status().json()
        found += [image["image_id"] for image in page["images"]]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"format": "jpeg"}, {0}),
        ({"format": "png"}, {1, 2}),
        ({"preset": "thumbnail"}, {1}),
        ({"preset": "thumbnail@1"}, {1}),
        ({"preset": "web"}, {0, 2}),
        ({"source": "api"}, {0, 1, 2}),
        ({"source": "kafka"}, set()),
        ({"metadata_name": "device"}, {0, 2}),
        ({"metadata_name": "device", "metadata_value": "8"}, {2}),
        ({"metadata_name": "camera"}, set()),
        ({"format": "png", "preset": "web"}, {2}),
        ({"code": "https://example.org"}, set()),
    ],
)
async def test_conditions(
    site: Site, images: list[dict[str, Any]], params: dict[str, str], expected: set[int]
) -> None:
    for after in (False, True):
        if after:
            await site.lake.sealer.run_pass(now=True)
        found = await listed(site, **params)
        assert len(found) == len(set(found))
        assert set(found) == {images[number]["image_id"] for number in expected}


async def test_a_time_range_begins_with_since_and_ends_before_until(
    site: Site, images: list[dict[str, Any]]
) -> None:
    times = [image["received_at"] for image in images]
    ids = [image["image_id"] for image in images]
    assert len(set(times)) == len(times)
    assert await listed(site, since=times[1]) == [ids[2], ids[1]]
    assert await listed(site, until=times[1]) == [ids[0]]
    assert await listed(site, since=times[1], until=times[2]) == [ids[1]]
    assert (
        await listed(site, since="0001-01-01T00:00:00Z", until="9999-12-31T23:59:59Z")
        == (ids[::-1])
    )


async def test_fields_choose_what_an_image_has(site: Site, images: list[dict[str, Any]]) -> None:
    answer = await site.client.get("/v1/images", params={"fields": "image_id,phash,links"})
    expected = [
        {name: image[name] for name in ("image_id", "phash", "links")} for image in images[::-1]
    ]
    assert answer.json() == {"images": expected, "next": None}
    whole = await site.client.get("/v1/images")
    assert whole.json() == {"images": images[::-1], "next": None}


@pytest.mark.parametrize(
    ("params", "code", "value"),
    [
        ({"fields": "image_id,widht"}, "invalid_request", "widht"),
        ({"fields": ""}, "invalid_request", ""),
        ({"fields": "image_id,"}, "invalid_request", ""),
        ({"metadata_value": "8"}, "invalid_request", "8"),
        (
            {"since": "2026-11-24T00:00:00Z", "until": "2026-11-23T00:00:00Z"},
            "invalid_request",
            "2026-11-23T00:00:00+00:00",
        ),
        ({"since": "0001-01-01T00:00:00+14:00"}, "invalid_request", "0001-01-01 00:00:00+14:00"),
        ({"preset": "no such"}, "unknown_preset", "no such"),
        ({"farbe": "red"}, "invalid_request", "farbe"),
        ({"since": "2026-11-24T00:00:00"}, "invalid_request", None),
        ({"since": "yesterday"}, "invalid_request", None),
        ({"since": "0.5"}, "invalid_request", None),
        ({"until": "1764000000"}, "invalid_request", None),
        ({"until": "2026-11-24T00:00Z"}, "invalid_request", None),
        ({"format": "jpg"}, "invalid_request", None),
        ({"source": "fax"}, "invalid_request", None),
        ({"code": "x" * 5000}, "invalid_request", None),
    ],
)
async def test_what_is_not_understood_is_refused(
    site: Site, params: dict[str, str], code: str, value: str | None
) -> None:
    answer = await site.client.get("/v1/images", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json().get("value") == value


async def test_listings_are_compressed(site: Site, images: list[dict[str, Any]]) -> None:
    async with site.client.stream(
        "GET", "/v1/images", headers={"Accept-Encoding": "gzip"}
    ) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        sent = b"".join([part async for part in answer.aiter_raw()])
    assert len(sent) < len(httpx.Response(200, json=images).content)
