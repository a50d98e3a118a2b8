import asyncio
import socket

import pytest
import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn import Config

from serve_app.asgi.framing import FramedProtocol
from serve_app.ray_surface.accept_burst import Server
from tests.waiting import until

CONNECTIONS = 64


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI app that gets no request."""


async def turns_for(server: Server, listener: socket.socket) -> int:
    """Return the number of event-loop iterations until many new connections are accepted."""
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await until(lambda: server.started)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(CONNECTIONS)]
    turns = 0
    while len(server.server_state.connections) < CONNECTIONS:
        await asyncio.sleep(0)
        turns += 1
        assert turns < 10 * CONNECTIONS
    for client in clients:
        client.close()
    server.should_exit = True
    await running
    return turns


def test_a_burst_of_connections_is_taken_in_few_turns() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = Server(Config(nothing, log_level="error", ws="none", lifespan="off"))
        turns = uvloop.run(turns_for(server, listener))
        assert turns <= CONNECTIONS // 4
        assert listener.fileno() == -1, "it closed what it listened at"
        assert all(not each.sockets for each in server.servers), "and its copies"


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer every request with 204."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def ask(client: socket.socket) -> bytes:
    """Send a request; return the answer until the connection closes."""
    reader, writer = await asyncio.open_connection(sock=client)
    writer.write(b"GET / HTTP/1.1\r\nHost: pixlake\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def answers_at_the_end(listener: socket.socket, *, accepted: bool) -> list[bytes]:
    """Return the answers to requests on connections that are made just before the server stops."""
    server = Server(Config(hello, log_level="error", lifespan="off"))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await until(lambda: server.started)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(CONNECTIONS)]
    if accepted:
        await until(lambda: len(server.server_state.connections) == CONNECTIONS)
    stopping = asyncio.create_task(server.shutdown([listener]))
    await until(lambda: listener.fileno() == -1)
    answers = await asyncio.gather(*map(ask, clients))
    await stopping
    server.should_exit = True
    await running
    return answers


@pytest.mark.parametrize("accepted", [True, False])
def test_a_connection_made_before_the_end_of_a_server_gets_its_answer(accepted: bool) -> None:
    """HAProxy connects before it sends, and answers 502 if the replica closes in between."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        answers = uvloop.run(answers_at_the_end(listener, accepted=accepted))
    assert len(answers) == CONNECTIONS
    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 204 No Content"}


async def ends_beside_an_unused_connection(listener: socket.socket) -> bytes:
    """Return what a client that sends nothing receives from a server that stops."""
    server = Server(Config(hello, log_level="error", lifespan="off"))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await until(lambda: server.started)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    await until(lambda: len(server.server_state.connections) == 1)
    server.should_exit = True
    received = await reader.read()
    await running
    writer.close()
    return received


def test_a_connection_without_a_request_does_not_hold_a_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FramedProtocol, "first_request_seconds", 0.1)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        assert uvloop.run(ends_beside_an_unused_connection(listener)) == b""
