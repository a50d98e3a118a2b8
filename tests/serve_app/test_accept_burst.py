import asyncio
import socket

import uvloop
from starlette.types import Receive, Scope, Send
from uvicorn import Config

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
