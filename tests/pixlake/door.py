"""The HTTP API on a real socket in a thread of the test, with real lake, sandbox and accounts."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from lake.lake import Lake
from lake.settings import LakeSettings
from processors.settings import ProcessorSettings
from processors.worker import Worker
from serve_app.accounts import SCOPES, Accounts
from serve_app.api import make_app
from serve_app.auth import KeyRing
from serve_app.health import Part, Readiness
from serve_app.settings import ServeSettings

_START_SECONDS = 60


@dataclass
class Door:
    """A running HTTP API: its address, and its folder, accounts and readiness."""

    url: str
    home: Path
    accounts: Accounts
    parts: dict[str, Part]

    def key(self, tenant: str, scopes: Sequence[str] = tuple(SCOPES)) -> str:
        return self.accounts.create_key(tenant, scopes, "test").text


class _Running:
    """The API's server in its thread's event loop; `stop` ends it."""

    def __init__(self, home: Path) -> None:
        self.ready = threading.Event()
        self.fault: BaseException | None = None
        self.accounts = Accounts.open(ServeSettings(home=home).accounts_url)
        self.parts = {"api": Part(ready=True), "kafka": Part(ready=True)}
        self.port = 0
        self._home = home
        self._server: uvicorn.Server | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  # the test's thread raises it
            self.fault = error
        finally:
            self.ready.set()

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True

    async def _serve(self) -> None:
        lake = await Lake.open(LakeSettings(home=self._home, window_seconds=1, grace_seconds=1))
        worker = await Worker.start(lake, ProcessorSettings())
        try:
            settings = ServeSettings(home=self._home, max_bytes=2_000_000)
            app = make_app(
                lake, worker, KeyRing.of(self.accounts, settings), settings, self._readiness
            )
            config = uvicorn.Config(app, log_level="error", ws="none", lifespan="off")
            self._server = uvicorn.Server(config)
            # The socket listens from here on: early connections wait in the kernel's queue.
            with socket.create_server(("127.0.0.1", 0)) as listener:
                self.port = listener.getsockname()[1]
                self.ready.set()
                await self._server.serve(sockets=[listener])
        finally:
            await worker.close()

    async def _readiness(self) -> Readiness:
        return Readiness(parts=dict(self.parts))


@contextmanager
def open_door(home: Path) -> Iterator[Door]:
    """Run the HTTP API on the folder `home`; close it at the end of the `with`."""
    running = _Running(home)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        assert running.ready.wait(_START_SECONDS)
        if running.fault is not None:
            raise running.fault
        url = f"http://127.0.0.1:{running.port}"
        yield Door(url, home, running.accounts, running.parts)
    finally:
        running.stop()
        thread.join()
        running.accounts.close()
