"""Test stand: HAProxy with its real configuration, a replica's real server, and an app that echoes.

HAProxy and the replica each have a check of where a request ends (`haproxy_fence` and
`replica_fence`). Either check can be left out, to test that the other one suffices.
"""

import asyncio
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from pathlib import Path

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pixlake_server.embedded.port_block import PortBlock
from pixlake_server.embedded.ports import free_ports
from pixlake_server.embedded.ray_environment import ray_environment
from serve_app.asgi.serve_headers import ServeHeaders
from serve_app.ray_surface.accept_burst import Server
from serve_app.settings import ServeSettings

START_SECONDS = 30
# Placeholders in Ray's file; each stand replaces them with free ports.
_BLOCK = PortBlock(61_000)
_API, _REPLICA = 61_100, 61_101
# On a machine that is busy with other tests, health checks fail though the replica runs. Without
# this setting HAProxy would tell bystanders that there is no replica.
_PATIENT = {"RAY_SERVE_HAPROXY_HEALTH_CHECK_FALL": "100"}
_FENCE = re.compile(
    r"^ *# Where a request ends. begin$.*^ *# Where a request ends. end$", re.MULTILINE | re.DOTALL
)
HEALTH = "/-/healthz"
"""path of HAProxy's health check; such requests are not recorded"""
NO_KEY = "/v1/no-key"
"""path that is answered with 401"""
SILENT = "/silent"
"""path that is never answered"""


@dataclass(frozen=True)
class Heard:
    """Request as the app received it, after both parsers."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    whole: bool

    def header(self, name: str) -> list[str]:
        """Return all values of a header."""
        return [value for key, value in self.headers if key == name]


@dataclass
class Echo:
    """ASGI app that records each request, and answers with the mark of the request."""

    begun: int = 0
    heard: list[Heard] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["path"] == HEALTH:
            await _answer(send, b"success")
            return
        self.begun += 1
        headers = tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"])
        if scope["path"] == SILENT:
            await asyncio.Event().wait()
        early = any(key == "x-early" for key, _ in headers)
        body, whole = (b"", False) if early else await _read(receive)
        heard = Heard(scope["method"], scope["path"], headers, body, whole)
        self.heard.append(heard)
        said = {"mark": heard.header("x-mark"), "sha256": hashlib.sha256(body).hexdigest()}
        status = HTTPStatus.UNAUTHORIZED if scope["path"] == NO_KEY else HTTPStatus.OK
        await _answer(send, json.dumps(said).encode(), 413 if early else status)


async def _answer(send: Send, answer: bytes, status: int = 200) -> None:
    """Send the answer in a header and in the body, because an answer to HEAD has no body."""
    headers = [(b"content-length", str(len(answer)).encode()), (b"x-echo", answer)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def _read(receive: Receive) -> tuple[bytes, bool]:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body), False
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body), True


class UnfencedServer(Server):
    """The replica's server without its check: with uvicorn's own protocol."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        config.http = HttpToolsProtocol


@dataclass(frozen=True, eq=False)
class Door:
    """Port of HAProxy or of a replica, and the app of the replica behind it."""

    port: int
    app: Echo


@dataclass(frozen=True)
class Stand:
    """HAProxy with a replica behind it, and a replica that clients connect to directly."""

    haproxy: Door
    replica: Door

    @property
    def doors(self) -> tuple[Door, Door]:
        """Both doors."""
        return self.haproxy, self.replica


@asynccontextmanager
async def standing(
    folder: Path,
    *,
    haproxy_fence: bool = True,
    replica_fence: bool = True,
    changed: Callable[[str], str] = str,
    answers: bytes = b"HTTP/1.1 200 ",
) -> AsyncIterator[Stand]:
    """Start HAProxy and two replicas, with files in `folder`; ends them.

    `changed` gets HAProxy's configuration and returns the one to use. `answers` is the beginning
    of HAProxy's answers once it is ready.
    """
    behind, direct = Echo(), Echo()
    async with (
        _replica(behind, fence=replica_fence) as port,
        _replica(direct, fence=replica_fence) as direct_port,
    ):
        change = changed if haproxy_fence else lambda text: _FENCE.sub("", changed(text))
        with _haproxy(folder, port, change) as haproxy:
            await _answers(haproxy, answers)
            yield Stand(Door(haproxy, behind), Door(direct_port, direct))


@asynccontextmanager
async def _replica(app: Echo, *, fence: bool) -> AsyncIterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        # Same options as in Ray Serve: ray/serve/_private/http_util.py, start_asgi_http_server.
        config = uvicorn.Config(
            ServeHeaders(app),
            timeout_keep_alive=90,
            lifespan="off",
            access_log=False,
            log_level="critical",
            log_config=None,
        )
        server = (Server if fence else UnfencedServer)(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(0.001)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            await running


@cache
def _ray_configuration(parent: Path) -> str:
    """Return the configuration that Ray writes for a run in `parent`/ray; cached: Ray is slow."""
    folder = parent / "ray"
    folder.mkdir()
    ours = ray_environment(folder, _BLOCK, ServeSettings(http_port=_API), start_seconds=120)
    file = folder / "h" / "haproxy.cfg"
    command = ["-m", "tests.framing.ray_configuration", str(file), str(_API), str(_REPLICA)]
    environment = {**os.environ, **ours, **_PATIENT}
    subprocess.run([sys.executable, *command], env=environment, check=True)
    return file.read_text()


@contextmanager
def _haproxy(folder: Path, replica: int, change: Callable[[str], str]) -> Iterator[int]:
    """Run HAProxy as Ray Serve starts it, with our launcher; yields the port of the API."""
    folder.mkdir(exist_ok=True)
    port, metrics, stats = free_ports(3)
    ours = ray_environment(folder, _BLOCK, ServeSettings(http_port=port), start_seconds=120)
    text = change(_ray_configuration(folder.parent))
    ports = {_API: port, _REPLICA: replica, _BLOCK.haproxy_metrics: metrics}
    ports[_BLOCK.haproxy_stats] = stats
    for one, other in ports.items():
        text = text.replace(f":{one}", f":{other}")
    file = folder / "h" / "haproxy.cfg"
    file.parent.mkdir()
    file.write_text(text.replace(str(folder.parent / "ray"), str(folder)))
    command = [ours["RAY_SERVE_HAPROXY_BINARY_PATH"], "-db", "-f", str(file), "-dR"]
    with (
        (folder / "haproxy.log").open("w") as log,
        subprocess.Popen(command, stderr=log) as running,
    ):
        try:
            yield port
        finally:
            running.kill()


async def _answers(port: int, as_ready: bytes) -> None:
    """Wait until HAProxy has found the replica."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                answer = await ask(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                if answer.startswith(as_ready):
                    return
            except OSError:
                pass
            await asyncio.sleep(0.02)


async def ask(port: int, request: bytes) -> bytes:
    """Send a request on a new connection; returns the first bytes of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read(65536)
    finally:
        writer.close()
        await writer.wait_closed()
