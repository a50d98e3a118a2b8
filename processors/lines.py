"""What a child and its parent share: two sockets, a file in memory, and memory.

Files go in through shared memory: measured against the socket, it takes 60 % of the time of the
time at 74 KB and a third at 2.4 MB. Results are small, and come out over the socket.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
from dataclasses import dataclass
from mmap import mmap
from typing import IO

from processors.job import Blob
from processors.nursery import Nursery
from processors.protocol import Start
from processors.settings import ProcessorSettings

# A header and the rendition of a small photograph; a socket holds little more.
_AHEAD_BYTES = 128 * 1024
# A large result, a piece at a time.
_AT_ONCE_BYTES = 1 << 20
# Linux 5.1 and later: who maps it from now on may read it only. Python 3.11 has no name for it.
_F_SEAL_FUTURE_WRITE = 0x10
_SIZE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


@dataclass(frozen=True, slots=True)
class Lines:
    """This process's ends of all that it shares with a child.

    `conversation` carries requests and answers, `memory` the file of a request. On `life` the fork
    server tells the child's process id and how it ended. `stderr` is what the child's libraries
    have to say.
    """

    conversation: socket.socket
    life: socket.socket
    stderr: IO[bytes]
    memory: mmap

    def close(self) -> None:
        """Let go of all of it; what waits on the other side reads the end of the file."""
        self.conversation.close()
        self.life.close()
        self.stderr.close()
        self.memory.close()


def order(settings: ProcessorSettings, nursery: Nursery) -> Lines:
    """Order a child at the other ends of new lines; raises OSError."""
    shared = settings.limits.max_bytes
    start = Start(
        limits=settings.limits, memory_bytes=settings.sandbox_memory_bytes, shared_bytes=shared
    )
    with contextlib.ExitStack() as passed, contextlib.ExitStack() as undo:
        conversation, their_conversation = _pair(undo, passed)
        life, their_life = _pair(undo, passed)
        # In memory: a container may have no folder to write to.
        stderr = undo.enter_context(os.fdopen(os.memfd_create("decoder-stderr"), "w+b"))
        memfd = os.memfd_create("decoder-image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        passed.callback(os.close, memfd)
        os.ftruncate(memfd, shared)
        memory = undo.enter_context(mmap(memfd, shared))
        # Who could make it shorter could crash the other.
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, _SIZE_SEALS)
        with contextlib.suppress(OSError):  # an older kernel
            fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, _F_SEAL_FUTURE_WRITE)
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)
        ends = (their_conversation, stderr, memfd, their_life)
        nursery.fork(start, [each if isinstance(each, int) else each.fileno() for each in ends])
        undo.pop_all()
    return Lines(conversation, life, stderr, memory)


def _pair(
    undo: contextlib.ExitStack, passed: contextlib.ExitStack
) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return undo.enter_context(ours), passed.enter_context(theirs)


class Incoming:
    """What comes over a line: read as it is there, handed out as it is asked for.

    A small result comes with its header, so one wait serves both.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._ahead = b""

    @property
    def unread(self) -> int:
        """Bytes that have come and that nobody asked for."""
        return len(self._ahead)

    async def take(self, size: int) -> Blob:
        """Exactly so many bytes, which take memory as they come; raises EOFError."""
        if len(self._ahead) < size <= _AHEAD_BYTES:
            await self._read_ahead(size)
        if len(self._ahead) >= size:
            taken, self._ahead = self._ahead[:size], self._ahead[size:]
            return taken
        large = bytearray(self._ahead)
        self._ahead = b""
        await self._read_into(large, size)
        return large

    async def _read_into(self, taken: bytearray, size: int) -> None:
        """Read on until there are so many."""
        loop = asyncio.get_running_loop()
        while len(taken) < size:
            more = await loop.sock_recv(self._line, min(_AT_ONCE_BYTES, size - len(taken)))
            if not more:
                raise EOFError
            taken += more
            # A child that writes as fast as this reads would leave no turn to anybody else, the
            # time limit included.
            await asyncio.sleep(0)

    async def _read_ahead(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        while len(self._ahead) < size:
            more = await loop.sock_recv(self._line, _AHEAD_BYTES)
            if not more:
                raise EOFError
            self._ahead += more


async def receive(line: socket.socket, size: int) -> bytes:
    """Exactly so many bytes, a few; raises EOFError."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        more = await loop.sock_recv(line, size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
