import hashlib
from typing import Any

import pytest

from tests.serve_app.site import PHOTO, Site, png

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def links(site: Site, data: bytes = PHOTO, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await site.upload(data, **options)).json()["links"]
    return found


async def test_the_record_reads_as_the_upload_answered(site: Site) -> None:
    uploaded = (await site.upload()).json()
    read = await site.client.get(uploaded["links"]["self"])
    assert (read.status_code, read.json()) == (200, uploaded)
    assert read.headers["Cache-Control"] == "no-store"


async def test_bytes_come_back_safe_and_cacheable(site: Site) -> None:
    headers = {"X-Pixlake-Filename": "we%22ird%0d%0a%E2%80%AEname.jpg"}
    path = (await links(site, headers=headers))["original"]
    answer = await site.client.get(path)
    assert answer.content == PHOTO
    assert answer.headers["ETag"] == f'"{hashlib.sha256(PHOTO).hexdigest()}"'
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Content-Length"] == str(len(PHOTO))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    disposition = answer.headers["Content-Disposition"]
    assert disposition == (
        "attachment; filename=\"we_irdname.jpg\"; filename*=UTF-8''we%22irdname.jpg"
    )


@pytest.mark.parametrize("tag", ["{etag}", "W/{etag}", '"other", {etag}', "*"])
async def test_what_the_client_has_is_not_sent_again(site: Site, tag: str) -> None:
    path = (await links(site))["original"]
    etag = (await site.client.head(path)).headers["ETag"]
    answer = await site.client.get(path, headers={"If-None-Match": tag.format(etag=etag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == etag
    changed = await site.client.get(path, headers={"If-None-Match": '"other"'})
    assert changed.status_code == 200


SIZE = len(PHOTO)
RANGES = {
    "bytes=0-0": (0, 1),
    "bytes=10-19": (10, 20),
    "bytes=100-": (100, SIZE),
    "bytes=-7": (SIZE - 7, SIZE),
    f"bytes=0-{SIZE * 9}": (0, SIZE),
    f"bytes=-{SIZE * 9}": (0, SIZE),
}


@pytest.mark.parametrize(("wanted", "part"), RANGES.items())
async def test_one_range(site: Site, wanted: str, part: tuple[int, int]) -> None:
    path = (await links(site))["original"]
    answer = await site.client.get(path, headers={"Range": wanted})
    start, end = part
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["Content-Length"] == str(end - start)
    assert answer.content == PHOTO[start:end]


@pytest.mark.parametrize("wanted", ["bytes=0-9", f"bytes={SIZE}-"])
async def test_head_ignores_a_range(site: Site, wanted: str) -> None:
    path = (await links(site))["original"]
    answer = await site.client.head(path, headers={"Range": wanted})
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == str(SIZE)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_if_match_wants_this_very_version(site: Site, method: str) -> None:
    path = (await links(site))["original"]
    etag = (await site.client.head(path)).headers["ETag"]
    for good in (etag, f'"other", {etag}', "*"):
        answer = await site.client.request(method, path, headers={"If-Match": good})
        assert answer.status_code == 200
    for stale in ('"other"', f"W/{etag}", "nonsense"):
        headers = {"If-Match": stale, "Range": "bytes=0-9", "If-None-Match": etag}
        answer = await site.client.request(method, path, headers=headers)
        assert answer.status_code == 412
    assert (await site.client.get(path, headers={"If-Match": '"x"'})).json()["code"] == (
        "precondition_failed"
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_record_has_no_version_to_match(site: Site, method: str) -> None:
    path = (await links(site))["self"]
    for sent, status in (("*", 200), ('"other"', 412)):
        answer = await site.client.request(method, path, headers={"If-Match": sent})
        assert answer.status_code == status


async def test_an_erasure_heeds_if_match(site: Site) -> None:
    path = (await links(site))["self"]
    assert (await site.client.delete(path, headers={"If-Match": '"other"'})).status_code == 412
    assert (await site.client.get(path)).status_code == 200
    assert (await site.client.delete(path, headers={"If-Match": "*"})).status_code == 204


@pytest.mark.parametrize(
    "odd",
    ["bytes=0-1,5-6", "bytes=" + "0-1," * 10_000, "bytes=9-2", "bytes=-", "lines=1-2", "bytes=a-b"],
    ids=["two", "ten thousand", "backwards", "empty", "lines", "letters"],
)
async def test_odd_ranges_get_the_whole_or_nothing(site: Site, odd: str) -> None:
    path = (await links(site))["original"]
    answer = await site.client.get(path, headers={"Range": odd})
    assert answer.status_code in {200, 431}
    if answer.status_code == 200:
        assert answer.content == PHOTO


@pytest.mark.parametrize("behind", [f"bytes={SIZE}-", "bytes=-0"])
async def test_a_range_behind_the_end(site: Site, behind: str) -> None:
    path = (await links(site))["original"]
    answer = await site.client.get(path, headers={"Range": behind})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (416, "range_not_satisfiable")
    assert problem["limit"] == SIZE
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


async def test_a_range_of_another_version_gets_the_whole(site: Site) -> None:
    path = (await links(site))["original"]
    etag = (await site.client.head(path)).headers["ETag"]
    headers = {"Range": "bytes=0-3", "If-Range": '"old"'}
    assert (await site.client.get(path, headers=headers)).status_code == 200
    assert (await site.client.get(path, headers={**headers, "If-Range": etag})).status_code == 206


async def test_another_tenant_sees_nothing(site: Site) -> None:
    mine = (await site.upload()).json()
    stranger = site.key("rival")
    paths = [mine["links"]["self"], mine["links"]["original"]]
    paths += mine["links"]["renditions"].values()
    for path in paths:
        for method in ("GET", "HEAD"):
            answer = await site.client.request(method, path, headers=stranger)
            assert answer.status_code == 404
    assert (await site.client.delete(paths[0], headers=stranger)).status_code == 404
    listed = await site.client.get("/v1/images", headers=stranger)
    assert listed.json() == {"images": [], "next": None}
    theirs = (await site.upload(headers=stranger)).json()
    assert theirs["image_id"] != mine["image_id"]
    assert (await site.client.get(paths[0])).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/" + "0" * 32,
        "/v1/images/" + "0" * 32 + "/original",
        "/v1/images/nonsense",
        "/v1/images/..%2f..%2fpresets",
        "/v1/images/" + "a" * 5000,
        "/v1/images/%00/original",
    ],
)
async def test_what_is_not_there_is_a_404(site: Site, path: str) -> None:
    answer = await site.client.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] in {"image_not_found", "not_found"}


@pytest.mark.parametrize("path", ["/v1/images/", "/healthz/", "/v1/presets/web/", "/docs/"])
async def test_nobody_is_sent_where_the_host_header_says(site: Site, path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        answer = await site.client.request(method, path, headers={"Host": "evil.example"})
        assert answer.status_code in {404, 405}
        assert "Location" not in answer.headers


async def test_an_unknown_rendition_is_a_404(site: Site) -> None:
    path = (await links(site))["self"]
    answer = await site.client.get(f"{path}/enormous")
    assert (answer.status_code, answer.json()["code"]) == (404, "image_not_found")


async def test_pages_cover_everything_once_newest_first(site: Site) -> None:
    uploaded = [(await site.upload(png(seed=n))).json()["image_id"] for n in range(5)]
    seen: list[str] = []
    params: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await site.client.get("/v1/images", params=params)).json()
        assert len(page["images"]) <= 2
        seen += [image["image_id"] for image in page["images"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert sorted(seen) == sorted(uploaded)
    times = [(await site.client.get(f"/v1/images/{i}")).json()["received_at"] for i in seen]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=" + "c" * 300])
async def test_bad_paging_is_refused(site: Site, query: str) -> None:
    answer = await site.client.get(f"/v1/images?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"]


async def test_a_made_up_cursor_is_refused(site: Site) -> None:
    answer = await site.client.get("/v1/images?cursor=made-up")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


async def test_erased_is_gone_and_stays_gone(site: Site) -> None:
    image = (await site.upload()).json()
    assert (await site.client.delete(image["links"]["self"])).status_code == 204
    for path in (image["links"]["self"], image["links"]["original"]):
        answer = await site.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (410, "image_erased")
    again = await site.upload()
    assert (again.status_code, again.json()["code"]) == (410, "image_erased")
    assert (await site.client.get("/v1/images")).json()["images"] == []


async def test_reading_needs_its_scope_and_erasing_the_other(site: Site) -> None:
    path = (await links(site))["self"]
    writer = site.key("acme", "images:write")
    reader = site.key("acme", "images:read")
    assert (await site.client.get(path, headers=writer)).status_code == 403
    assert (await site.client.get("/v1/images", headers=writer)).status_code == 403
    assert (await site.client.delete(path, headers=reader)).status_code == 403
    assert (await site.client.get(path, headers=reader)).status_code == 200
