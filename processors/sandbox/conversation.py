"""Parent's side of the exchange with a child: input file in shared memory, messages by socket."""

import asyncio
import select

from processors.job import Blob
from processors.sandbox.channel import BufferedChannel, Channel
from processors.sandbox.protocol import LENGTH, MAX_HEADER_BYTES, BrokenProtocol

# Copying this much blocks the event loop for a fraction of a millisecond.
_COPIED_AT_ONCE = 1 << 20
_ZEROS = memoryview(bytes(_COPIED_AT_ONCE))


class Conversation:
    """Sends requests to one child and receives its messages."""

    def __init__(self, lines: Channel) -> None:
        self._line = lines.conversation
        self._memory = lines.memory
        self._incoming = BufferedChannel(lines.conversation)
        self._dirty_bytes = 0

    @property
    def unread(self) -> int:
        """Number of buffered bytes that were not received yet."""
        return self._incoming.unread

    def has_more(self) -> bool:
        """True if the kernel holds bytes of the child that this process has not received."""
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        return bool(poll.poll(0))

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
        """Overwrite the last image in the shared memory, and only its bytes."""
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
            sent = self._line.send(data)  # an idle child has read all data sent before
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            await asyncio.get_running_loop().sock_sendall(self._line, data[sent:])

    async def receive_header(self) -> bytes:
        """Receive the next message of the child; raises BrokenProtocol, EOFError, OSError."""
        (length,) = LENGTH.unpack(await self._incoming.take(LENGTH.size))
        if length > MAX_HEADER_BYTES:
            raise BrokenProtocol(f"a header of {length} bytes")
        return bytes(await self._incoming.take(length))

    async def receive(self, size: int) -> Blob:
        """Receive exactly `size` bytes behind a message; raises EOFError, OSError."""
        return await self._incoming.take(size)
