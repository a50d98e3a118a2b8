"""TCP relay that delays each answer of a server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Thread

_CHUNK = 65536


class SlowLink:
    """Relay on `port`; each piece of an answer waits for `delay` seconds."""

    def __init__(self, to: int | Path) -> None:
        self.delay = 0.0
        self.port = 0
        self._to = to
        self._relays: set[asyncio.Task[None]] = set()

    async def _connected(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        try:
            if isinstance(self._to, Path):
                server, to_server = await asyncio.open_unix_connection(self._to)
            else:
                server, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            to_client.close()  # the server has stopped
            return
        for source, target, slow in ((client, to_server, False), (server, to_client, True)):
            relay = asyncio.create_task(self._relay(source, target, slow=slow))
            self._relays.add(relay)
            relay.add_done_callback(self._relays.discard)

    async def _relay(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, slow: bool
    ) -> None:
        try:
            while data := await source.read(_CHUNK):
                if slow and self.delay:
                    await asyncio.sleep(self.delay)
                target.write(data)
                await target.drain()
        except OSError:
            return  # the other end closed
        finally:
            target.close()

    async def close(self) -> None:
        """End all relays."""
        relays = list(self._relays)
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)


@asynccontextmanager
async def slow_link(to: int | Path) -> AsyncIterator[SlowLink]:
    """Relay connections to a port or a socket of this machine while the block runs."""
    link = SlowLink(to)
    listener = await asyncio.start_server(link._connected, "127.0.0.1", 0)
    link.port = listener.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        listener.close()
        await link.close()


@contextmanager
def link_in_thread(to: int | Path) -> Iterator[SlowLink]:
    """Relay in a thread of its own, for clients that block."""
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    begun: asyncio.Queue[SlowLink] = asyncio.Queue()

    async def relay() -> None:
        async with slow_link(to) as link:
            begun.put_nowait(link)
            await ended.wait()

    thread = Thread(target=loop.run_until_complete, args=[relay()], name="slow-link")
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(begun.get(), loop).result()
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
