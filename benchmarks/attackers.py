"""Hostile clients of ten kinds at once, in a separate process that needs little processor time.

`python -m benchmarks.attackers PORT KEY [KIND ...]` attacks 127.0.0.1:PORT until its standard input
ends, with all kinds or only the named ones. KEY is an API key of the attacker's own tenant. The
process prints a line when all kinds have begun, and at the end the number of attacks of each kind
as JSON.

Each connection comes from one of 250 addresses of the loopback network. All kinds are slow on
purpose, to occupy scarce resources of a server such as connections.
"""

import asyncio
import contextlib
import json
import random
import resource
import secrets
import socket
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
# Number of connections that are held open, by kind.
_HALF_OPEN, _SLOW, _ANNOUNCED, _TENANTS = 1_000, 200, 200, 1_000
# Workers of each kind with short connections, and a worker's pause between two of them in seconds.
_WORKERS, _PAUSE = 4, 0.2
_HEAD = "{} HTTP/1.1\r\nHost: a\r\n"
_MUCH = 25_000_000


class Attack:
    """Attacks of all kinds; each kind's method makes one connection and is called repeatedly."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._good = f"Authorization: Bearer {key}\r\n"
        self.done: Counter[str] = Counter()
        self.all_begun = asyncio.Event()
        self.kinds: dict[str, tuple[Callable[[], Awaitable[None]], int]] = {
            "half-open headers": (self._half_open, _HALF_OPEN),
            "a byte a second": (self._slow_body, _SLOW),
            "announced and never sent": (self._announced, _ANNOUNCED),
            "wrong keys": (self._wrong_key, _WORKERS),
            "huge headers": (self._huge_headers, _WORKERS),
            "invented methods": (self._invented_method, _WORKERS),
            "half-closes": (self._half_close, _WORKERS),
            "resets": (self._reset, _WORKERS),
            "a tenant's connections": (self._tenant, _TENANTS),
            "pipelined garbage": (self._garbage, _WORKERS),
        }

    async def run(self) -> None:
        """Attack until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, (life, connections) in self.kinds.items():
                for _ in range(connections):
                    group.create_task(self._again(name, life))

    async def _again(self, name: str, life: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(random.uniform(0, 2))
        while True:
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                self.done[name] += 1
                if len(self.done) == len(self.kinds):
                    self.all_begun.set()
                await life()
            await asyncio.sleep(_PAUSE * random.uniform(0.5, 1.5))

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        address = f"127.0.1.{random.randint(1, 250)}"
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(address, 0)
        )
        try:
            yield reader, writer
        finally:
            writer.close()

    async def _drip(self, head: str, piece: bytes, seconds: float) -> None:
        """Send a head, then the same piece repeatedly until the server closes the connection."""
        async with self._connected() as (reader, writer):
            writer.write(head.encode())
            while not reader.at_eof():
                await asyncio.sleep(seconds)
                writer.write(piece)
                await writer.drain()

    async def _ask(self, request: bytes, *, ends: bool = False) -> None:
        """Send a request and read the head of the answer."""
        async with self._connected() as (reader, writer):
            writer.write(request)
            if ends:
                writer.write_eof()
            await reader.readuntil(b"\r\n\r\n")

    async def _half_open(self) -> None:
        await self._drip(_HEAD.format("POST /v1/images") + "X-Slow: ", b"a", 3)

    def _upload(self, authorization: str, length: int) -> str:
        head = _HEAD.format("POST /v1/images") + authorization
        return f"{head}Content-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"

    async def _slow_body(self) -> None:
        await self._drip(self._upload(self._good, 1_000_000), b"a", 1)

    async def _announced(self) -> None:
        authorization = random.choice([self._good, ""])
        await self._drip(self._upload(authorization, _MUCH), b"", 3)

    async def _wrong_key(self) -> None:
        key = f"Authorization: Bearer pxl_{secrets.token_hex(24)}\r\n"
        await self._ask(self._upload(key, 5).encode() + b"hello")

    async def _huge_headers(self) -> None:
        await self._ask(_HEAD.format("GET /healthz").encode() + b"X: " + b"a" * 60_000)

    async def _invented_method(self) -> None:
        head = _HEAD.format(f"{secrets.token_hex(8).upper()} /v1/images")
        await self._ask(f"{head}\r\n".encode())

    async def _half_close(self) -> None:
        await self._ask(_HEAD.format("GET /v1/images").encode() + b"\r\n", ends=True)

    async def _reset(self) -> None:
        async with self._connected() as (_, writer):
            writer.write(self._upload(self._good, 1_000_000).encode() + bytes(10_000))
            await writer.drain()
            at_once = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)

    async def _tenant(self) -> None:
        async with self._connected() as (reader, writer):
            while not reader.at_eof():
                # Spread the requests; the server keeps an idle connection for a minute.
                await asyncio.sleep(random.uniform(0, 50))
                asked = _HEAD.format(f"GET /v1/images/{secrets.token_hex(16)}") + self._good
                writer.write(f"{asked}\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))

    async def _garbage(self) -> None:
        good = _HEAD.format("GET /v1/images").encode() + b"\r\n"
        await self._ask(good * 3 + secrets.token_bytes(2_000))


async def main(port: int, key: str, chosen: Sequence[str]) -> None:
    """Attack until standard input ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    attack = Attack(port, key)
    for name in set(attack.kinds) - set(chosen or attack.kinds):
        del attack.kinds[name]
    attacking = asyncio.create_task(attack.run())
    await attack.all_begun.wait()
    print("attacking", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    attacking.cancel()
    print(json.dumps(attack.done))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
