"""Proxy before a real S3 server that injects the failures of S3 and networks on demand.

Toxiproxy knows TCP only, so it can't answer 503 (its issue 50). HAProxy, which Ray Serve installs,
can't count requests without Lua. mitmproxy pins some twenty packages for one add-on. This proxy is
a page of code with aiohttp, which Ray installs. The proxy passes the client's `Host` on, so that
the signature stays valid.
"""

import asyncio
import random
import re
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, Self

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

Kind = Literal["error", "slow", "hang", "reset", "cut"]
_HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding")
_STARTED_SECONDS = 10
_RST = struct.pack("ii", 1, 0)
_XML = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>as the test says</Message></Error>"


@dataclass(frozen=True, slots=True)
class Fault:
    """Kind of failure, and the requests that it affects."""

    kind: Kind
    """`error`: an answer with `status`; `slow`: the correct answer, `seconds` late; `hang`: no
    answer, and a reset when the fault is lifted; `reset`: a reset of the connection; `cut`: the
    correct answer up to half of its body, and the end of the connection"""
    applied: bool = False
    """true: the server executes the request before the failure, so that only the answer is lost"""
    matching: str = ""
    """regular expression, searched in `METHOD /bucket/key?query`"""
    times: int | None = None
    """number of first matching requests that fail; None: all"""
    share: float = 1
    """probability from 0 to 1 that a matching request fails"""
    status: int = 500
    code: str = "InternalError"
    seconds: float = 1


@dataclass(slots=True)
class _Active:
    fault: Fault
    random: random.Random
    lifted: asyncio.Event = field(default_factory=asyncio.Event)
    met: int = 0

    def meets(self, request: str) -> bool:
        fault = self.fault
        if fault.times is not None and self.met >= fault.times:
            return False
        if not re.search(fault.matching, request) or self.random.random() >= fault.share:
            return False
        self.met += 1
        return True


class FaultyS3:
    """Endpoint that behaves like `upstream` except for faults, for the length of a `with`."""

    def __init__(self, upstream: str, seed: int = 0) -> None:
        self.endpoint = ""
        self._upstream = URL(upstream)
        self._seed = seed
        self._active: list[_Active] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="faulty-s3", daemon=True)
        self._started: Future[str] = Future()
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self.endpoint = self._started.result(_STARTED_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.lift()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def inject(self, fault: Fault) -> None:
        """Add a fault for new requests; the first fault that matches a request takes effect."""
        self._active.append(_Active(fault, random.Random(self._seed)))

    def lift(self) -> None:
        """Remove all faults; requests that hang are reset."""
        active, self._active = self._active, []
        for one in active:
            self._loop.call_soon_threadsafe(one.lifted.set)

    @contextmanager
    def failing(self, *faults: Fault) -> Iterator[None]:
        """Inject faults while the block runs; raises AssertionError if one met no request."""
        for fault in faults:
            self.inject(fault)
        active = list(self._active)
        try:
            yield
        finally:
            self.lift()
        unused = [one.fault for one in active if not one.met]
        assert not unused, f"no request met {unused}"

    @property
    def met(self) -> int:
        """Number of requests that the present faults met."""
        return sum(one.met for one in self._active)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._run())
            except OSError as error:
                self._started.set_exception(error)

    async def _run(self) -> None:
        async with ClientSession(
            connector=TCPConnector(limit=0),
            timeout=ClientTimeout(total=None),
            auto_decompress=False,
        ) as self._client:
            # If a client gives up, its handler is cancelled: no request without a client hangs.
            runner = web.ServerRunner(web.Server(self._handle, handler_cancellation=True))
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._started.set_result(f"http://127.0.0.1:{runner.addresses[0][1]}")
            await self._stop.wait()
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        name = f"{request.method} {request.raw_path}"
        met = next((one for one in self._active if one.meets(name)), None)
        if met is None:
            return await self._forward(request, body)
        answer = await self._forward(request, body) if met.fault.applied else None
        return await self._fail(request, body, met, answer)

    async def _fail(
        self,
        request: web.BaseRequest,
        body: bytes,
        met: _Active,
        answer: web.Response | None,
    ) -> web.StreamResponse:
        fault = met.fault
        if fault.kind == "error":
            text = _XML.format(code=fault.code)
            return web.Response(status=fault.status, text=text, content_type="application/xml")
        if fault.kind == "slow":
            with suppress(TimeoutError):
                async with asyncio.timeout(fault.seconds):
                    await met.lifted.wait()
            return answer or await self._forward(request, body)
        if fault.kind == "cut":
            return await _cut(request, answer or await self._forward(request, body))
        if fault.kind == "hang":
            await met.lifted.wait()
        return _reset(request)

    async def _forward(self, request: web.BaseRequest, body: bytes) -> web.Response:
        url = self._upstream.join(URL(request.raw_path, encoded=True))
        try:
            async with self._client.request(
                request.method,
                url,
                headers=_end_to_end(request.headers),
                data=body,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            ) as answer:
                return web.Response(
                    status=answer.status,
                    headers=_end_to_end(answer.headers),
                    body=await answer.read(),
                )
        except ClientError:
            return _reset(request)


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in _HOP_BY_HOP:
        kept.popall(name, None)
    return kept


async def _cut(request: web.BaseRequest, whole: web.Response) -> web.StreamResponse:
    """Send the headers and half of the body, and close the connection."""
    body = whole.body
    assert isinstance(body, bytes)
    answer = web.StreamResponse(status=whole.status, headers=whole.headers)
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return answer


def _reset(request: web.BaseRequest) -> web.Response:
    """Close the connection by RST, as a host that became unreachable does."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        request.transport.abort()
    return web.Response()
