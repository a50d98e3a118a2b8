"""uvicorn server of a replica: own HTTP protocol, and faster accepting of new connections.

libuv, which uvloop uses, accepts one connection per loop iteration (since 1.45). After an idle time
HAProxy has no open connections, so a burst of 128 uploads needs 128 iterations: half a second on a
busy machine. Each copy of the listening socket accepts one more connection per iteration.
"""

import asyncio
import math
import socket

import uvicorn

from serve_app.asgi.framing import FramedProtocol

# With 16 sockets, 128 connections need eight iterations. Each copy costs a file descriptor, and a
# useless system call when a single connection arrives.
_TIMES = 16


class Server(uvicorn.Server):
    """uvicorn server with `FramedProtocol` and without WebSockets."""

    def __init__(self, config: uvicorn.Config) -> None:
        config.http, config.ws = FramedProtocol, "none"
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on the sockets and on copies of them; each copy is closed with its server."""
        copies = [sock.dup() for sock in sockets or () for _ in range(_TIMES - 1)]
        await super().startup(sockets and [*sockets, *copies])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept all connections of the listen queue, then stop listening.

        The kernel resets the connections that are left in the queue. HAProxy has sent a request on
        such a connection already and answers 502.
        """
        for _ in range(math.ceil(self.config.backlog / _TIMES)):
            await asyncio.sleep(0)
        await super().shutdown(sockets)


def listen_eagerly() -> None:
    """Make Ray Serve use the class `Server`; Serve has no setting for the server class."""
    uvicorn.Server = Server  # type: ignore[misc]
