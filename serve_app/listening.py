"""The server of a replica: its protocol, and many new connections in one turn of its event loop.

libuv, which uvloop stands on, accepts one a turn (since its 1.45). After a quiet moment HAProxy has
no connections to us left, and a burst of 128 uploads waited for 128 turns: half a second on a busy
machine, before a word of theirs was read. A socket that is listened at several times over is
accepted from as often.
"""

import socket

import uvicorn

from serve_app.framing import FramedProtocol

# 128 connections in eight turns; each costs a file descriptor and, where only one connection
# comes, a system call that finds nothing.
_TIMES = 16


class Server(uvicorn.Server):
    """uvicorn's, with our protocol, and with none for what a client might upgrade to."""

    def __init__(self, config: uvicorn.Config) -> None:
        config.http, config.ws = FramedProtocol, "none"
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; the copies are closed with the servers that are made of them."""
        copies = [sock.dup() for sock in sockets or () for _ in range(_TIMES - 1)]
        await super().startup(sockets and [*sockets, *copies])


def listen_eagerly() -> None:
    """From now on Ray Serve makes its servers, for which it has no setting, of this class."""
    uvicorn.Server = Server  # type: ignore[misc]
