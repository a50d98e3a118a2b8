"""Batches on a socket: lines while the body comes, senders that read late, stop or leave."""

import asyncio
import http.client
import json
import tarfile
from urllib.parse import urlsplit

import pytest

from processors.job import ImageJob
from serve_app.settings import ServeSettings
from tests.serve_app.batches import BATCH, entry, files, ids, is_released, tar
from tests.serve_app.site import MakeSite, Site, png, serving
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def begun(url: str, site: Site) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = (
        f"POST {BATCH} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        f"Content-Type: application/x-tar\r\n"
        f"Authorization: {site.client.headers['Authorization']}\r\n\r\n"
    )
    writer.write(head.encode())
    return reader, writer


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def next_name(reader: asyncio.StreamReader) -> str:
    """Return the name in the next line of a chunked answer."""
    while not (line := await reader.readline()).startswith(b"{"):
        assert line, "the answer ended"
    name: str = json.loads(line)["name"]
    return name


async def test_a_line_comes_before_the_body_ends(site: Site) -> None:
    body = tar(*files(2))
    async with serving(site.app) as url:
        reader, writer = await begun(url, site)
        writer.write(chunk(body[:1024]))
        assert await next_name(reader) == "photos/0.png"
        writer.write(chunk(body[1024:]) + b"0\r\n\r\n")
        assert await next_name(reader) == "photos/1.png"
        assert await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.close()


async def test_what_a_line_acknowledged_stays_after_the_sender_left(site: Site) -> None:
    body = tar(*files(2))
    async with serving(site.app) as url:
        reader, writer = await begun(url, site)
        writer.write(chunk(body[:1400]))
        assert await next_name(reader) == "photos/0.png"
        writer.close()
        await until(lambda: is_released(site))
    assert len(await ids(site)) == 1


async def test_a_silent_sender_gets_a_last_line(
    make_site: MakeSite, settings: ServeSettings
) -> None:
    site = await make_site(settings.model_copy(update={"body_idle_seconds": 0.05}))
    async with serving(site.app) as url:
        reader, writer = await begun(url, site)
        writer.write(chunk(tar(*files(1))[:1024]))
        assert await next_name(reader) == "photos/0.png"
        while not (line := await reader.readline()).startswith(b"{"):
            assert line
        writer.close()
    last = json.loads(line)
    assert (last["name"], last["status"], last["code"]) == (None, 408, "body_timeout")


async def test_a_sender_that_reads_late_gets_every_line(site: Site) -> None:
    """Like `requests`: the whole body is sent before any line is read."""
    links = [entry(f"link-{n}", type=tarfile.SYMTYPE) for n in range(9_000)]
    body = tar(*files(1), *links, *files(1, first=1))
    async with serving(site.app) as url:
        where = urlsplit(url)

        def ask() -> list[str]:
            web = http.client.HTTPConnection(str(where.hostname), where.port, timeout=60)
            headers = {**site.client.headers, "Content-Type": "application/x-tar"}
            web.request("POST", BATCH, body, headers)
            found = web.getresponse().read().splitlines()
            web.close()
            return [json.loads(line)["outcome"] for line in found]

        outcomes = await asyncio.to_thread(ask)
    assert (len(outcomes), outcomes.count("new")) == (9_002, 2)


async def test_the_server_reads_no_faster_than_it_processes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = type(site.app.state.context.worker)
    handle = worker.handle
    leave = asyncio.Event()

    async def held(self: object, job: ImageJob) -> object:
        await leave.wait()
        return await handle(self, job)

    monkeypatch.setattr(worker, "handle", held)
    admission = site.app.state.context.admission
    # More than the buffers between sender and reader hold.
    big = [entry(f"{n}.png", png() + bytes(500_000)) for n in range(30)]
    body = tar(*files(200), *big)
    sent = 0
    async with serving(site.app) as url:
        reader, writer = await begun(url, site)

        async def all_of_it() -> None:
            nonlocal sent
            for at in range(0, len(body), 65_536):
                writer.write(chunk(body[at : at + 65_536]))
                await writer.drain()
                sent += 65_536
            writer.write(b"0\r\n\r\n")

        sending = asyncio.create_task(all_of_it())
        await until(lambda: admission.uploads == 64)
        assert not sending.done()
        leave.set()
        for _ in range(230):
            await next_name(reader)
        await sending
        writer.close()
