"""The rest of a refused body is read within limits, so that its client gets the answer."""

import asyncio
import contextlib

import pytest

from serve_app.asgi import framing
from tests.framing.stand import Door, Stand

pytestmark = pytest.mark.asyncio(loop_scope="session")

EARLY = b"POST /early HTTP/1.1\r\nHost: a\r\nX-Early: 1\r\n"
PIECE = bytes(65_536)
BOUND = 1_000_000
# Upper limit of the bytes in the buffers of HAProxy, the replica and the kernel together.
ON_ITS_WAY = 60_000_000


@pytest.fixture(params=["haproxy", "replica"])
def door(request: pytest.FixtureRequest, both: Stand) -> Door:
    """Replica through HAProxy, and directly."""
    found: Door = getattr(both, request.param)
    return found


async def refused(door: Door, length: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection whose request is answered before any byte of its body was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(EARLY + length + b"\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 413 " in head
    await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
    return reader, writer


async def test_an_endless_body_is_cut(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_BYTES", BOUND)
    _, writer = await refused(door, b"Content-Length: 1000000000\r\n")
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < BOUND + ON_ITS_WAY:
            writer.write(PIECE)
            await writer.drain()
            sent += len(PIECE)
    assert BOUND <= sent < BOUND + ON_ITS_WAY
    writer.close()


async def test_a_body_that_never_comes_is_not_waited_for(
    both: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test of the replica only: HAProxy ends each silent connection after a minute."""
    monkeypatch.setattr(framing, "MAX_SECONDS", 0.1)
    reader, writer = await refused(both.replica, b"Content-Length: 1000\r\n")
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()


LENGTHS = (b"Content-Length: 600000\r\n", b"Transfer-Encoding: chunked\r\n")


@pytest.mark.parametrize("length", LENGTHS)
async def test_a_body_in_bounds_ends_and_the_next_request_is_answered(
    door: Door, length: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framing, "MAX_BYTES", BOUND)
    reader, writer = await refused(door, length)
    for _ in range(10):
        piece = bytes(60_000)
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if b"chunked" in length else piece)
        await writer.drain()
    writer.write(b"0\r\n\r\n" if b"chunked" in length else b"")
    writer.write(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_a_client_may_close_its_half_after_its_request(door: Door) -> None:
    """The client still gets its answer (RFC 9112, 9.6)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"POST /seen HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    writer.write_eof()
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()
