"""Tests that need a socket: limits during the body, silent clients, and clients that leave."""

import asyncio
import contextlib
import http.client
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest

from processors.job import ImageJob
from serve_app.settings import ServeSettings
from tests.serve_app.site import PHOTO, MakeSite, Site, png, serving
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

RAW = {"Content-Type": "application/octet-stream"}


def client(site: Site, url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers=site.client.headers, trust_env=False, timeout=60)


async def test_a_photo_goes_in_and_comes_out(site: Site) -> None:
    async with serving(site.app) as url, client(site, url) as web:
        answer = await web.post("/v1/images", content=PHOTO, headers=RAW)
        assert answer.status_code == 201
        assert (await web.get(answer.json()["links"]["original"])).content == PHOTO
        head = await web.head(answer.json()["links"]["original"])
        assert (head.content, head.headers["Content-Length"]) == (b"", str(len(PHOTO)))


async def test_an_endless_body_is_cut_at_the_limit(
    make_site: MakeSite, settings: ServeSettings
) -> None:
    site = await make_site(settings.model_copy(update={"max_bytes": 100_000}))
    sent = 0

    async def much() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(80):
            sent += 65_536
            yield bytes(65_536)

    async with serving(site.app) as url, client(site, url) as web:
        answer = await web.post("/v1/images", content=much(), headers=RAW)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (413, "too_many_bytes")
        assert problem["limit"] == 100_000 < problem["value"] < 1_000_000
        # The announced length alone is enough.
        answer = await web.post("/v1/images", content=bytes(5_000_000), headers=RAW)
        assert (answer.status_code, answer.json()["value"]) == (413, 5_000_000)
        assert (await web.get("/healthz")).status_code == 200
    assert site.app.state.context.admission.bytes == 0


@pytest.mark.parametrize("key", ["good", "bad"])
async def test_a_client_that_reads_only_after_writing_hears_why(site: Site, key: str) -> None:
    good = site.client.headers["Authorization"]
    headers = {**RAW, "Authorization": good if key == "good" else "Bearer bad"}
    async with serving(site.app) as url:
        where = urlsplit(url)

        def ask() -> tuple[int, bytes]:
            # Like urllib: close after one request, and send the whole body before reading.
            web = http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)
            web.request("POST", "/v1/images", bytes(30_000_000), {**headers, "Connection": "close"})
            with contextlib.closing(web), web.getresponse() as answer:
                return answer.status, answer.read()

        status, body = await asyncio.to_thread(ask)
    assert status == (413 if key == "good" else 401)
    assert b'"code":' in body


async def raw(
    url: str, site: Site, length: int, body: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = (
        f"POST /v1/images HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n"
        f"Content-Type: image/png\r\nAuthorization: {site.client.headers['Authorization']}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def answer_to_a_trickle(url: str, site: Site) -> bytes:
    """Send a byte of a body of 10,000 every 10 ms until there is an answer; returns the answer."""
    reader, writer = await raw(url, site, 10_000, b"x")

    async def trickle() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    trickling = asyncio.create_task(trickle())
    answer = await reader.readuntil(b"}")
    trickling.cancel()
    writer.close()
    return answer


async def test_a_silent_client_is_told_so(make_site: MakeSite, settings: ServeSettings) -> None:
    site = await make_site(
        settings.model_copy(update={"body_idle_seconds": 0.05, "body_min_rate": 1})
    )
    async with serving(site.app) as url:
        reader, writer = await raw(url, site, 1000, b"half")
        answer = await reader.readuntil(b"}")
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"body_timeout"' in answer
    assert b'"limit":0.05' in answer
    # The lease is released after the answer is sent.
    await until(lambda: site.app.state.context.admission.uploads == 0, "the lease is released")


async def test_a_body_below_the_lowest_rate_is_told_so(
    make_site: MakeSite, settings: ServeSettings
) -> None:
    slow = {"body_idle_seconds": 0.1, "body_min_rate": 1e9}
    site = await make_site(settings.model_copy(update=slow))
    async with serving(site.app) as url:
        answer = await answer_to_a_trickle(url, site)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"limit":1000000000.0' in answer
    assert b'"value":' in answer


async def test_a_trickle_ends_too(make_site: MakeSite, settings: ServeSettings) -> None:
    site = await make_site(settings.model_copy(update={"body_total_seconds": 0.1}))
    async with serving(site.app) as url:
        answer = await answer_to_a_trickle(url, site)
    assert b'"code":"body_timeout"' in answer


async def test_a_client_that_leaves_stores_nothing(site: Site) -> None:
    before = await site.stored()
    admission = site.app.state.context.admission
    async with serving(site.app) as url:
        _, writer = await raw(url, site, len(PHOTO), PHOTO[: len(PHOTO) // 2])
        await until(lambda: admission.uploads)
        writer.close()
        await until(lambda: not admission.uploads)
    assert admission.bytes == 0
    assert await site.stored() == before


async def test_what_is_too_much_at_once_is_told_to_come_back(
    make_site: MakeSite, settings: ServeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await make_site(settings.model_copy(update={"max_uploads": 1}))
    entered, leave = asyncio.Event(), asyncio.Event()
    worker = type(site.app.state.context.worker)
    handle = worker.handle

    async def held(self: object, job: ImageJob) -> object:
        entered.set()
        await leave.wait()
        return await handle(self, job)

    monkeypatch.setattr(worker, "handle", held)
    first = asyncio.create_task(site.upload())
    await entered.wait()
    second = await site.upload(png())
    problem = second.json()
    assert (second.status_code, problem["code"]) == (503, "overloaded")
    assert (problem["limit"], problem["value"]) == (1, 2)
    assert second.headers["Retry-After"] == "1"
    leave.set()
    assert (await first).status_code == 201
    assert (await site.upload(png())).status_code == 201


async def test_bytes_under_way_are_bounded(make_site: MakeSite, settings: ServeSettings) -> None:
    limits = {"max_bytes": 20_000, "max_upload_bytes": 30_000, "body_idle_seconds": 5}
    site = await make_site(settings.model_copy(update=limits))
    admission = site.app.state.context.admission
    async with serving(site.app) as url, client(site, url) as web:
        _, idle = await raw(url, site, 19_000, b"x")
        await until(lambda: admission.bytes == 1)
        assert (await web.post("/v1/images", content=png(), headers=RAW)).status_code == 201
        idle.close()
        _, writer = await raw(url, site, 19_500, bytes(19_000))
        await until(lambda: admission.bytes >= 19_000)
        answer = await web.post("/v1/images", content=bytes(12_000), headers=RAW)
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert answer.json()["limit"] == 30_000
        writer.close()
        await until(lambda: not admission.uploads)
    assert admission.bytes == 0


async def test_a_cancelled_request_still_commits_and_frees_its_place(site: Site) -> None:
    admission = site.app.state.context.admission
    task = asyncio.create_task(site.upload())
    await until(lambda: admission.uploads)
    await until(lambda: admission.bytes >= len(PHOTO))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(lambda: not admission.uploads)
    assert (await site.upload()).status_code in {200, 201}


@pytest.mark.parametrize(
    ("limit", "sent"), [("body_idle_seconds", b"{"), ("body_total_seconds", b"{"), (None, b"")]
)
async def test_a_preset_has_the_deadlines_of_an_upload(
    make_site: MakeSite, settings: ServeSettings, limit: str | None, sent: bytes
) -> None:
    site = await make_site(settings.model_copy(update={limit or "body_idle_seconds": 0.05}))
    key = site.key("acme", "presets:write")["Authorization"]
    async with serving(site.app) as url:
        where = urlsplit(url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        head = f"PUT /v1/presets/slow HTTP/1.1\r\nHost: a\r\nAuthorization: {key}\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\n".encode() + sent)
        answer = await reader.readuntil(b"}")
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"body_timeout"' in answer
