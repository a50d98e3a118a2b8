"""Open-loop load: uploads at a constant rate; latency counts from the time each was due.

`python -m benchmarks.open_loop URL KEY PHOTO RATE SECONDS` runs in a separate process and prints
JSON. A closed loop (wrk) sends no request while the service is slow, and so omits the latency of
the requests that would have waited. The output includes the client's processor time per request.
"""

import asyncio
import json
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_OK = range(200, 300)
_WARM_UP_SECONDS = 1.0
_GIVE_UP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latencies in seconds; `cpu` is the client's processor time per request in seconds."""

    sent: int
    failed: int
    p50: float
    p99: float
    longest: float
    cpu: float


def measure(url: str, key: str, photo: Path, rate: float, seconds: float) -> Latencies:
    """Upload a photo at a constant rate, every time as a new image; in a separate process."""
    words = [sys.executable, "-m", "benchmarks.open_loop", url, key, str(photo)]
    done = subprocess.run(
        [*words, str(rate), str(seconds)], check=True, capture_output=True, text=True
    )
    return Latencies(**json.loads(done.stdout))


@dataclass(frozen=True, slots=True)
class Answer:
    """HTTP status, and headers by name in lower case."""

    status: int
    headers: dict[str, str]


class Client:
    """HTTP/1.1 client that reuses connections, and opens a new one if all are busy."""

    def __init__(self, url: str, key: str, body: bytes) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address = (parts.hostname, parts.port)
        self._head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n"
        )
        self._body = body
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self) -> Answer:
        """Upload the body as a new image; returns the answer."""
        pair = self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)
        reader, writer = pair
        writer.write(f"{self._head}Idempotency-Key: {uuid.uuid4().hex}\r\n\r\n".encode())
        writer.write(self._body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().splitlines()
        fields = (line.partition(":") for line in lines if line)
        headers = {name: value.strip() for name, _, value in fields}
        await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append(pair)
        return Answer(int(first.split()[1]), headers)


async def _run(client: Client, rate: float, seconds: float) -> tuple[list[float], int]:
    """Run the load; returns the latencies and the number of failed uploads."""
    latencies: list[float] = []
    failed = 0

    async def upload(due: float) -> None:
        nonlocal failed
        try:
            status = (await client.post()).status
        except (OSError, asyncio.IncompleteReadError):
            status = 0
        if status in _OK:
            latencies.append(time.perf_counter() - due)
        else:
            # A refusal is fast, so count it as a long latency.
            failed += 1
            latencies.append(_GIVE_UP_SECONDS)

    begun = time.perf_counter()
    async with asyncio.timeout(seconds + _GIVE_UP_SECONDS), asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(upload(due))
    return latencies, failed


async def _main(client: Client, rate: str, seconds: str) -> None:
    await _run(client, float(rate), _WARM_UP_SECONDS)
    before = time.process_time()
    latencies, failed = await _run(client, float(rate), float(seconds))
    cpu = time.process_time() - before
    latencies.sort()
    count = len(latencies)
    facts = {
        "sent": count,
        "failed": failed,
        "p50": latencies[count // 2],
        "p99": latencies[count * 99 // 100],
        "longest": latencies[-1],
        "cpu": cpu / count,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    address, secret, file, *load = sys.argv[1:]
    asyncio.run(_main(Client(address, secret, Path(file).read_bytes()), *load))
