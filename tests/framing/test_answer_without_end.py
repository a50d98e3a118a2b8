"""Requests that arrive when the client has the complete answer, but the app has not ended it."""

import asyncio
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from serve_app.asgi.framing import FramedProtocol

BODY = b"the whole answer"


class Wire(asyncio.Transport):
    """Transport that keeps the written bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed = bytearray(), False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Streaming:
    """ASGI app that sends its body in parts, and ends the body once `may_end` is set."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts, self.may_end, self.sent = parts, asyncio.Event(), asyncio.Event()

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % len(BODY))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in self.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        self.sent.set()
        await self.may_end.wait()
        rest = BODY[sum(map(len, self.parts)) :]
        await send({"type": "http.response.body", "body": rest})


def connect(app: Streaming) -> tuple[FramedProtocol, Wire]:
    config = uvicorn.Config(app, lifespan="off", access_log=False)
    config.load()
    protocol = FramedProtocol(config=config, server_state=ServerState(), app_state={})
    wire = Wire()
    protocol.connection_made(wire)
    return protocol, wire


async def two_requests(app: Streaming, second: bytes) -> Wire:
    """Send a second request after the app sent its parts and before the app ends the body."""
    protocol, wire = connect(app)
    protocol.data_received(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
    await app.sent.wait()
    protocol.data_received(second)
    app.may_end.set()
    while protocol.tasks:
        await asyncio.gather(*protocol.tasks)
    return wire


@pytest.mark.parametrize(
    "second",
    [
        b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
        b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n",
    ],
    ids=["no body", "body", "body follows"],
)
async def test_a_client_that_has_the_whole_answer_may_send_its_next_request(second: bytes) -> None:
    wire = await two_requests(Streaming([BODY[:5], BODY[5:]]), second)
    assert wire.written.count(BODY) == 2
    assert not wire.closed


async def test_a_request_before_the_last_byte_of_the_answer_closes_the_connection() -> None:
    wire = await two_requests(Streaming([BODY[:5]]), b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.written.count(BODY) == 1
    assert wire.closed
