"""Conversation with a child: the file of a request in shared memory, messages over a socket."""

import asyncio

from processors.job import Blob
from processors.lines import Incoming, Lines
from processors.protocol import LENGTH, MAX_HEADER_BYTES, BrokenProtocol

# A copy of so much takes a fraction of a millisecond, in which nothing else happens here.
_COPIED_AT_ONCE = 1 << 20
_ZEROS = memoryview(bytes(_COPIED_AT_ONCE))


class Conversation:
    """The parent's side of it."""

    def __init__(self, lines: Lines) -> None:
        self._line = lines.conversation
        self._memory = lines.memory
        self._incoming = Incoming(lines.conversation)
        self._dirty_bytes = 0

    @property
    def unread(self) -> int:
        """Bytes that have come and that nobody asked for."""
        return self._incoming.unread

    async def share(self, data: memoryview) -> None:
        """Copy the file of a request into the shared memory."""
        self._dirty_bytes = data.nbytes
        if data.nbytes <= _COPIED_AT_ONCE:
            self._memory[: data.nbytes] = data
            return
        for at in range(0, data.nbytes, _COPIED_AT_ONCE):
            part = data[at : at + _COPIED_AT_ONCE]
            self._memory[at : at + part.nbytes] = part
            await asyncio.sleep(0)

    async def clear(self) -> None:
        """Overwrite what the shared memory holds of the last image, and no more than that."""
        dirty = self._dirty_bytes
        for at in range(0, dirty, _COPIED_AT_ONCE):
            size = min(_COPIED_AT_ONCE, dirty - at)
            self._memory[at : at + size] = _ZEROS[:size]
            if at + size < dirty:
                await asyncio.sleep(0)
        self._dirty_bytes = 0

    async def send(self, data: bytes) -> None:
        """Send a request; raises OSError."""
        try:
            sent = self._line.send(data)  # an idle child has taken all that was sent before
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            await asyncio.get_running_loop().sock_sendall(self._line, data[sent:])

    async def receive_header(self) -> bytes:
        """The next message of the child; raises BrokenProtocol, EOFError, OSError."""
        (length,) = LENGTH.unpack(await self._incoming.take(LENGTH.size))
        if length > MAX_HEADER_BYTES:
            raise BrokenProtocol(f"a header of {length} bytes")
        return bytes(await self._incoming.take(length))

    async def receive(self, size: int) -> Blob:
        """Exactly so many bytes behind a message; raises EOFError, OSError."""
        return await self._incoming.take(size)
