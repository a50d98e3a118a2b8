"""Erasures of many images in one request: the same as one by one."""

import httpx
import pytest

from lake.errors import StoreUnavailable
from serve_app.accounts import ERASE, READ, WRITE
from tests.serve_app.batches import Line, by_name, files, ids, send, tar
from tests.serve_app.site import Site, png

pytestmark = pytest.mark.asyncio(loop_scope="session")

ERASE_MANY = "/v1/images:erase"
ABSENT = "f" * 32


async def erase(site: Site, *image_ids: str, **options: object) -> httpx.Response:
    return await site.client.post(ERASE_MANY, json={"ids": list(image_ids)}, **options)  # type: ignore[arg-type]


async def stored(site: Site, count: int) -> list[str]:
    return [line["id"] for line in by_name(await send(site, tar(*files(count)))).values()]


def erased(image_id: str) -> Line:
    return {"name": image_id, "id": image_id, "status": 204, "outcome": "erased", "code": None}


async def test_each_id_has_a_line_and_images_are_gone(site: Site) -> None:
    kept, *others = await stored(site, 12)
    found = by_name(await erase(site, *others, ABSENT, "no id", others[0]))
    assert [found.pop(image_id) for image_id in others] == [erased(each) for each in others]
    for line in found.values():
        assert (line["status"], line["outcome"], line["code"]) == (
            404,
            "unknown",
            "image_not_found",
        )
    assert found.keys() == {ABSENT, "no id"}
    assert await ids(site) == {kept}
    gone = await site.client.get(f"/v1/images/{others[0]}")
    assert (gone.status_code, gone.json()["code"]) == (410, "image_erased")
    again = by_name(await erase(site, *others))
    assert [again[image_id] for image_id in others] == [erased(each) for each in others]


async def test_an_image_of_another_tenant_is_unknown_and_stays(site: Site) -> None:
    image_id = (await site.upload(png())).json()["image_id"]
    told = await erase(site, image_id, headers=site.key("rival", ERASE))
    missing = await erase(site, ABSENT, headers=site.key("rival", ERASE))
    assert told.text.replace(image_id, ABSENT) == missing.text
    assert by_name(missing)[ABSENT]["outcome"] == "unknown"
    assert await ids(site) == {image_id}


async def test_the_scope_is_that_of_an_erasure(site: Site) -> None:
    (image_id,) = await stored(site, 1)
    answer = await erase(site, image_id, headers=site.key("acme", READ, WRITE))
    assert (answer.status_code, answer.json()["value"]) == (403, ERASE)
    assert await ids(site) == {image_id}


async def test_an_erasure_that_fails_is_refused_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await stored(site, 2)
    eraser = type(site.lake.eraser)
    erase_one = eraser.erase

    async def fails_once(self: object, tenant: str, image_id: str) -> None:
        if image_id == first:
            raise StoreUnavailable("10.0.0.7 refused")
        await erase_one(self, tenant, image_id)  # type: ignore[arg-type]

    monkeypatch.setattr(eraser, "erase", fails_once)
    answer = await erase(site, first, second)
    assert "10.0.0.7" not in answer.text
    found = by_name(answer)
    assert (found[first]["status"], found[first]["code"]) == (503, "store_unavailable")
    assert (found[first]["outcome"], found[second]["outcome"]) == ("refused", "erased")
    assert await ids(site) == {first}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="no-ids"),
        pytest.param(b'{"ids": []}', id="empty"),
        pytest.param(b'{"ids": [7]}', id="number"),
        pytest.param(b'{"ids": ["a"], "force": true}', id="unknown-field"),
        pytest.param(b'{"ids": [' + b'"a",' * 1000 + b'"a"]}', id="too-many"),
        pytest.param(b'{"ids": ["' + b"a" * 200_000 + b'"]}', id="too-large"),
    ],
)
async def test_a_body_that_is_none_erases_nothing(site: Site, body: bytes) -> None:
    (image_id,) = await stored(site, 1)
    answer = await site.client.post(ERASE_MANY, content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert await ids(site) == {image_id}
