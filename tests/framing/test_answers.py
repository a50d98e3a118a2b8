"""HAProxy's own answers: problem+json on every path, for requests and for malformed input."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from pixlake_server.embedded.haproxy_answers import ANSWERS, speaking
from serve_app.asgi.framing import FramedProtocol
from tests.framing.stand import SILENT, Stand, ask, standing

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOST = b"Host: a\r\n"
MALFORMED = {
    "a header without a colon": b"GET / HTTP/1.1\r\n" + HOST + b"no colon\r\n\r\n",
    "a control character": b"G\x01T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no target": b"GET  HTTP/1.1\r\n\r\n",
    "an unknown coding": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: foo\r\n\r\n",
    "headers beyond the buffer": b"GET / HTTP/1.1\r\n" + HOST + b"X: %b\r\n\r\n" % (b"a" * 60_000),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


def quick(text: str) -> str:
    """Configuration with time-outs that are short enough for a test."""
    limits = {"http-request 10s": "300ms", "client 60s": "300ms", "server 58s": "1500ms"}
    for limit, short in limits.items():
        assert f"timeout {limit}" in text
        text = text.replace(f"timeout {limit}", f"timeout {limit.split()[0]} {short}")
    return text


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """HAProxy with short time-outs."""
    async with standing(tmp_path_factory.mktemp("hasty"), changed=quick) as stand:
        yield stand


async def whole(port: int, request: bytes) -> tuple[int, dict[str, str], dict[str, object]]:
    """Return status, headers and problem of an answer, which ends by its length or at a close."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(30):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        headers = {name.lower(): value for name, value in pairs}
        length = headers.get("content-length")
        body = await (reader.read() if length is None else reader.readexactly(int(length)))
    writer.close()
    assert headers["content-type"] == "application/problem+json"
    return int(first.split()[1]), headers, json.loads(body)


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_request_is_told_so(both: Stand, sent: bytes) -> None:
    before = both.haproxy.app.begun
    status, _, problem = await whole(both.haproxy.port, sent)
    assert (status, problem["code"], problem["status"]) == (400, "bad_request", 400)
    assert problem["type"] == "urn:pixlake:problem:bad_request"
    assert both.haproxy.app.begun == before


async def test_headers_that_never_end_are_told_so(hasty: Stand) -> None:
    status, _, problem = await whole(hasty.haproxy.port, b"GET / HTTP/1.1\r\nX-Slow: ")
    assert (status, problem["code"]) == (408, "request_timeout")


async def test_a_body_that_never_ends_is_told_so(hasty: Stand) -> None:
    """In production a replica answers first, with 408, because its limits are below HAProxy's."""
    sent = b"POST /seen HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nabc"
    status, headers, problem = await whole(hasty.haproxy.port, sent)
    assert (status, problem["code"]) == (400, "bad_request")
    assert problem["request_id"] == headers["x-request-id"] != ""


async def test_a_replica_that_does_not_answer_is_told(hasty: Stand) -> None:
    sent = b"GET %b HTTP/1.1\r\n" % SILENT.encode() + HOST + b"X-Request-Id: mine\r\n\r\n"
    status, headers, problem = await whole(hasty.haproxy.port, sent)
    assert (status, problem["code"], problem["status"]) == (504, "no_answer", 504)
    assert problem["request_id"] == headers["x-request-id"] == "mine"
    assert headers["retry-after"] == "1"


async def test_a_replica_that_dies_is_told(both: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = FramedProtocol.on_url

    def dies(self: FramedProtocol, url: bytes) -> None:
        kept(self, url)
        if url == b"/dies":
            self.transport.abort()

    monkeypatch.setattr(FramedProtocol, "on_url", dies)
    sent = b"GET /dies HTTP/1.1\r\n" + HOST + b"\r\n"
    status, headers, problem = await whole(both.haproxy.port, sent)
    assert (status, problem["code"], headers["retry-after"]) == (502, "replica_lost", "1")


async def test_no_replica_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("alone")

    def nobody(text: str) -> str:
        of_servers = ("    server ", "    use-server ")
        return "\n".join(line for line in text.split("\n") if not line.startswith(of_servers))

    async with standing(folder, changed=nobody, answers=b"HTTP/1.1 503 ") as stand:
        sent = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
        status, headers, problem = await whole(stand.haproxy.port, sent)
    assert (status, problem["code"], headers["retry-after"]) == (503, "not_ready", "1")


@pytest.mark.parametrize("method", [b"BREW", b"GETX", b"get", b"PROPFIND", b"A" * 900])
async def test_an_invented_method_reaches_no_replica(both: Stand, method: bytes) -> None:
    before = both.haproxy.app.begun
    sent = b"%b / HTTP/1.1\r\n" % method + HOST + b"Content-Length: 3\r\n\r\nabc"
    status, headers, problem = await whole(both.haproxy.port, sent)
    assert (status, problem["code"]) == (405, "method_not_allowed")
    assert headers["allow"].startswith("GET, HEAD, POST")
    assert both.haproxy.app.begun == before


@pytest.mark.parametrize("sent", [b"a b", b'"', b"x" * 65, b"mine\r\nX-Request-Id: two", b""])
async def test_a_request_id_that_is_not_plain_is_replaced(both: Stand, sent: bytes) -> None:
    head = b"GET /id HTTP/1.1\r\n" + HOST
    await ask(both.haproxy.port, head + b"X-Request-Id: %b\r\n\r\n" % sent)
    [found] = both.haproxy.app.heard[-1].header("x-request-id")
    assert found.count("-") == 4, "a UUID of HAProxy's"


async def test_nobody_learns_which_program_answers(both: Stand) -> None:
    answer = await ask(both.haproxy.port, b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert b"\nserver:" not in answer.lower()


async def test_as_many_bytes_of_headers_as_a_replica_takes_reach_it(both: Stand) -> None:
    """HAProxy's limit is not lower, so the replica refuses larger headers and names its limit."""
    lines = b"".join(b"X-Pixlake-Meta-%d: %b\r\n" % (n, b"a" * 300) for n in range(106))
    head = b"GET /long HTTP/1.1\r\n" + HOST
    answer = await ask(both.haproxy.port, head + lines + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert sum(len(n) + len(v) for n, v in both.haproxy.app.heard[-1].headers) > 32 * 1024


async def test_an_unknown_haproxy_is_left_as_it_is(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("other")
    (folder / "original").write_bytes(b"\0HTTP/1.1 400 Bad request\r\n\r\nshort\0")
    copy = speaking(folder / "original", folder / "copy")
    assert copy.read_bytes() == (folder / "original").read_bytes()


async def test_the_replica_says_it_in_the_same_shape(both: Stand) -> None:
    status, _, problem = await whole(both.replica.port, b"G\x01T / HTTP/1.1\r\n\r\n")
    assert (status, problem["code"]) == (400, "bad_request")


async def test_every_answer_says_what_to_do() -> None:
    assert all(answer.title and answer.detail for answer in ANSWERS.values())


async def test_an_invented_method_is_no_label(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """HAProxy sends Serve one log line for each request; Serve takes its labels from that line."""
    folder = tmp_path_factory.mktemp("m")

    def listened(text: str) -> str:
        [path] = set(re.findall(r"^ *log (/\S+)", text, re.MULTILINE))
        return text.replace(path, str(folder / "s"))

    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lines:
        lines.setblocking(False)
        lines.bind(str(folder / "s"))
        async with standing(folder / "stand", changed=listened) as stand, asyncio.timeout(60):
            found: list[str] = []
            methods = ("BREW", "PROPFIND", "DELETE")
            for method in methods:
                head = f"{method} /label HTTP/1.1\r\nHost: a\r\n\r\n"
                await ask(stand.haproxy.port, head.encode())
            # Lines of several connections come in any order; each `GET` is of an earlier check.
            while sum(method != "GET" for method in found) < len(methods):
                line = (await loop.sock_recv(lines, 8192)).decode()
                found += re.findall(r'method="(\w*)"', line)
    assert found.count("OTHER") == 2
    assert set(found) == {"GET", "OTHER", "DELETE"}
