"""Semantics of HTTP (RFC 9110, 7578, 6266) on a real socket, over one connection where possible."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from processors.untrusted_text import MAX_METADATA_BYTES, MAX_METADATA_VALUE_BYTES
from serve_app.accounts import SCOPES
from tests.serve_app.document import Document
from tests.serve_app.site import PHOTO, Site, png, serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = ("/", "/docs", "/openapi.json")
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
JPEG = {"Content-Type": "image/jpeg"}
FORM = {"Content-Type": 'multipart/form-data; boundary="b"'}


@dataclass
class Service:
    site: Site
    client: httpx.AsyncClient


@pytest_asyncio.fixture(loop_scope="session")
async def service(site: Site) -> AsyncIterator[Service]:
    headers = site.key("acme", *SCOPES)
    async with (
        serving(site.app) as url,
        httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client,
    ):
        yield Service(site, client)


def part(disposition: str, content: bytes, more: str = "") -> bytes:
    head = f"--b\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n"
    return head.encode() + content + b"\r\n"


async def test_a_method_that_a_path_has_not_is_told_the_others(service: Service) -> None:
    by_path: dict[str, set[str]] = {path: {"GET", "HEAD"} for path in PAGES}
    for operation in Document(service.site.app).operations:
        found = by_path.setdefault(operation.url({"name": "web"}), set())
        found |= {"GET", "HEAD"} if operation.method == "GET" else {operation.method}
    for path, methods in by_path.items():
        answers = [await service.client.request(one, path) for one in METHODS - methods]
        # The parser of HTTP accepts known methods only.
        answers.append(await service.site.client.request("OTHER", path))
        for answer in answers:
            allowed = answer.headers["Allow"].split(", ")
            assert (answer.status_code, allowed) == (405, sorted(methods)), answer.request
            assert answer.content == b"" or answer.json()["code"] == "method_not_allowed"


async def test_bytes_are_read_in_parts_and_under_conditions(service: Service) -> None:
    stored = await service.client.post("/v1/images", content=PHOTO, headers=JPEG)
    path = stored.json()["links"]["original"]
    whole = await service.client.get(path)
    tag = {"If-None-Match": f'W/"x", {whole.headers["ETag"]}'}
    assert whole.headers["Accept-Ranges"] == "bytes"
    got = await service.client.get(path, headers={"Range": "bytes=-10"})
    assert (got.status_code, got.content) == (206, PHOTO[-10:])
    for method in ("GET", "HEAD"):
        unchanged = await service.client.request(method, path, headers=tag)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["ETag"] == whole.headers["ETag"]
        changed = await service.client.request(method, path, headers={"If-Match": '"x"'})
        assert changed.status_code == 412
    # A 304 or 412 of HEAD has no body that the next answer on the connection could begin with.
    assert (await service.client.get(path)).content == PHOTO


@pytest.mark.parametrize("where", ["request", "part"])
async def test_a_content_coding_is_refused_by_its_name(service: Service, where: str) -> None:
    coding = {"Content-Encoding": "gzip"}
    if where == "request":
        answer = await service.client.post("/v1/images", content=PHOTO, headers=JPEG | coding)
    else:
        body = part('name="file"', PHOTO, "Content-Encoding: gzip\r\n") + b"--b--\r\n"
        answer = await service.client.post("/v1/images", content=body, headers=FORM)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (415, "unsupported_content_encoding")
    assert problem["value"] == "gzip"
    assert answer.headers["Accept-Encoding"] == "identity"


async def test_a_refused_media_type_names_the_accepted_ones(service: Service) -> None:
    answer = await service.client.post(
        "/v1/images", content=b"{}", headers={"Content-Type": "text/css"}
    )
    assert (answer.status_code, answer.json()["value"]) == (415, "text/css")
    document = Document(service.site.app).operation("upload_image")
    assert set(answer.headers["Accept"].split(", ")) == set(
        document.about["requestBody"]["content"]
    )


async def test_a_form_may_have_text_around_its_parts(service: Service) -> None:
    disposition = 'name="file"; filename="plain.png"; filename*=UTF-8\'\'%e6%b5%b7%22.png'
    body = b"This is a form.\r\n" + part(disposition, png()) + b"--b--\r\nThe end.\r\n"
    answer = await service.client.post("/v1/images", content=body, headers=FORM)
    assert (answer.status_code, answer.json()["filename"]) == (201, '海".png'), answer.text


async def test_the_escapes_of_browsers_are_read(service: Service) -> None:
    body = part('name="file"; filename="a%22b%41.png"', png(seed=1)) + b"--b--\r\n"
    answer = await service.client.post("/v1/images", content=body, headers=FORM)
    assert answer.json()["filename"] == 'a"b%41.png'


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\U0001f600"])
async def test_metadata_of_the_largest_size_fits_into_a_form(service: Service, letter: str) -> None:
    room = MAX_METADATA_BYTES // 8 - len("n0")
    assert room <= MAX_METADATA_VALUE_BYTES
    metadata = {f"n{number}": letter * (room // len(letter.encode())) for number in range(8)}
    # The longest form of JSON has an escape for each letter, and white space.
    text = json.dumps(metadata, indent=1).replace(letter, json.dumps(letter)[1:-1])
    text = text.replace("a", r"\u0061") if letter == "a" else text
    body = part('name="metadata"', text.encode()) + part('name="file"', png(seed=3)) + b"--b--\r\n"
    answer = await service.client.post("/v1/images", content=body, headers=FORM)
    assert answer.status_code == 201, answer.text
    assert answer.json()["metadata"] == metadata
