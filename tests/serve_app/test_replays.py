"""A replay costs one GET of its record; nothing is decoded and nothing is written."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lake import layout
from lake.settings import LakeSettings
from lake.store.object_store import ObjectStore
from processors.sandbox.sandbox import Sandbox
from serve_app.settings import ServeSettings
from tests.serve_app.site import PHOTO, MakeSite, Site, png

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = {"Idempotency-Key": "order-7/photo-1"}
REQUESTS = ("put", "create", "replace", "get", "piece", "stream", "delete")
FORM = {"file": ("a.jpg", PHOTO)}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the requests of all stores, and the images that decoders get."""
    counted: Counter[str] = Counter()

    def count(of: type, name: str) -> None:
        method = getattr(of, name)

        def counting(*args: Any, **options: Any) -> Any:
            counted[name] += 1
            return method(*args, **options)

        monkeypatch.setattr(of, name, counting)

    for name in REQUESTS:
        count(ObjectStore, name)
    count(Sandbox, "submit")
    return counted


@pytest.mark.parametrize("headers", [KEY, {}])
async def test_a_replay_costs_one_get(
    site: Site, calls: Counter[str], headers: dict[str, str]
) -> None:
    first = await site.upload(headers=headers)
    assert (first.status_code, calls["submit"]) == (201, 1)
    for body in ({"content": PHOTO}, {"files": FORM}):
        calls.clear()
        answer = await site.client.post("/v1/images", headers=headers, **body)
        assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (200, "true")
        assert answer.json() == first.json()
        assert calls == {"get": 1}


async def test_a_first_upload_without_a_key_looks_nothing_up(
    site: Site, calls: Counter[str]
) -> None:
    await site.upload()
    calls.clear()
    assert (await site.upload(png())).status_code == 201
    assert calls["get"] == 0


async def test_a_key_is_known_after_a_restart(
    make_site: MakeSite, settings: ServeSettings, calls: Counter[str], tmp_path: Any
) -> None:
    shared = LakeSettings(store_url=(tmp_path / "store").as_uri())
    first = await (await make_site(settings, shared)).upload(headers=KEY)
    after = await make_site(settings, shared)
    calls.clear()
    assert (await after.upload(headers=KEY)).json() == first.json()
    # The row is written once more by each process, because the last one may have died before it.
    assert (calls["submit"], calls["get"], calls["put"], calls["create"]) == (0, 1, 1, 0)
    # A process that has not stored the content learns at the commit that it is there.
    content = await after.upload()
    calls.clear()
    assert (await after.upload()).json() == content.json()
    assert calls == {"get": 1}


async def test_other_content_under_a_key_is_a_conflict(site: Site) -> None:
    await site.upload(headers=KEY)
    for other in (
        site.upload(png(), headers=KEY),
        site.upload(headers={**KEY, "X-Pixlake-Meta-a": "1"}),
    ):
        answer = await other
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")


async def test_an_erased_image_is_no_replay(site: Site) -> None:
    image = (await site.upload(headers=KEY)).json()
    assert (await site.client.delete(image["links"]["self"])).status_code == 204
    answer = await site.upload(headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (410, "image_erased")


async def test_an_image_that_is_erased_while_its_body_arrives_is_no_replay(site: Site) -> None:
    image = (await site.upload(headers=KEY)).json()

    async def slowly() -> AsyncIterator[bytes]:
        yield PHOTO[:100]
        await site.lake.eraser.erase("acme", image["image_id"])
        yield PHOTO[100:]

    headers = {**KEY, "Content-Length": str(len(PHOTO)), "Content-Type": "image/jpeg"}
    answer = await site.client.post("/v1/images", content=slowly(), headers=headers)
    # The look-up may have been made before the erasure; the next request knows of it.
    assert answer.status_code in {200, 410}
    assert (await site.upload(headers=KEY)).status_code == 410


@pytest.mark.parametrize("headers", [KEY, {}])
async def test_a_damaged_record_is_written_anew(site: Site, headers: dict[str, str]) -> None:
    first = (await site.upload(headers=headers)).json()
    key = layout.record_key("acme", first["image_id"])
    await site.lake.store.put(key, b"")
    again = await site.upload(headers=headers)
    assert (again.status_code, again.json()) == (200, first)
    assert (await site.client.get(first["links"]["self"])).json() == first
