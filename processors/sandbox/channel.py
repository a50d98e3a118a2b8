"""Channels between a parent and its child: two sockets, an in-memory file, shared memory.

Input files go through shared memory, which takes 60 % of a socket's time for 74 KB, and a third for
2.4 MB. Results are small and go over the socket.
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
from processors.sandbox.fork_server_client import ForkServerClient
from processors.sandbox.protocol import Start
from processors.settings import ProcessorSettings

# Enough for a header and the rendition of a small photograph; a socket buffer holds little more.
_AHEAD_BYTES = 128 * 1024
# Large results are read in pieces of this size.
_AT_ONCE_BYTES = 1 << 20
# Seal of Linux 5.1 and later: later mappings are read-only. Python 3.11 has no name for it.
_F_SEAL_FUTURE_WRITE = 0x10
_SIZE_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


@dataclass(frozen=True, slots=True)
class Channel:
    """Parent's ends of the channels to one child.

    `conversation` carries requests and answers, `memory` the file of a request. On `life` the fork
    server sends the child's process id and exit code. `stderr` holds warnings of the child's
    libraries.
    """

    conversation: socket.socket
    life: socket.socket
    stderr: IO[bytes]
    memory: mmap

    def close(self) -> None:
        """Close all channels; readers on the other side get end of file."""
        self.conversation.close()
        self.life.close()
        self.stderr.close()
        self.memory.close()


def order(settings: ProcessorSettings, fork_client: ForkServerClient) -> Channel:
    """Create the channels and request a child for their other ends; raises OSError."""
    shared = settings.limits.max_bytes
    start = Start(limits=settings.limits, memory_bytes=settings.address_bytes, shared_bytes=shared)
    with contextlib.ExitStack() as passed, contextlib.ExitStack() as undo:
        conversation, their_conversation = _pair(undo, passed)
        life, their_life = _pair(undo, passed)
        # An in-memory file, because a container may have no writable folder.
        stderr = undo.enter_context(os.fdopen(os.memfd_create("decoder-stderr"), "w+b"))
        memfd = os.memfd_create("decoder-image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        passed.callback(os.close, memfd)
        os.ftruncate(memfd, shared)
        memory = undo.enter_context(mmap(memfd, shared))
        # Without this seal, a process that shrinks the file could crash the other one.
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, _SIZE_SEALS)
        with contextlib.suppress(OSError):  # an older kernel
            fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, _F_SEAL_FUTURE_WRITE)
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)
        ends = (their_conversation, stderr, memfd, their_life)
        fork_client.fork(start, [each if isinstance(each, int) else each.fileno() for each in ends])
        undo.pop_all()
    return Channel(conversation, life, stderr, memory)


def _pair(
    undo: contextlib.ExitStack, passed: contextlib.ExitStack
) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return undo.enter_context(ours), passed.enter_context(theirs)


class BufferedChannel:
    """Buffered reader of a socket; reads ahead, so that a small result needs only one wait."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._ahead = b""

    @property
    def unread(self) -> int:
        """Number of buffered bytes that were not taken yet."""
        return len(self._ahead)

    async def take(self, size: int) -> Blob:
        """Read exactly `size` bytes; memory grows with the bytes that arrive. Raises EOFError."""
        if len(self._ahead) < size <= _AHEAD_BYTES:
            await self._read_ahead(size)
        if len(self._ahead) >= size:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        large = bytearray(self._ahead)
        self._ahead = b""
        await self._read_into(large, size)
        return large

    async def _read_into(self, data: bytearray, size: int) -> None:
        """Read until `data` has `size` bytes."""
        loop = asyncio.get_running_loop()
        while len(data) < size:
            part = await loop.sock_recv(self._line, min(_AT_ONCE_BYTES, size - len(data)))
            if not part:
                raise EOFError
            data += part
            # A child that writes as fast as this loop reads would block the event loop, the time
            # limit included.
            await asyncio.sleep(0)

    async def _read_ahead(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        while len(self._ahead) < size:
            part = await loop.sock_recv(self._line, _AHEAD_BYTES)
            if not part:
                raise EOFError
            self._ahead += part


async def receive(line: socket.socket, size: int) -> bytes:
    """Read exactly `size` bytes, for small sizes; raises EOFError."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        part = await loop.sock_recv(line, size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
