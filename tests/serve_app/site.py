"""Complete HTTP API for tests: real lake, real sandbox and real accounts, without a socket.

`serving` runs the app on a real socket, for tests that need one.
"""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image

from lake.lake import Lake
from serve_app.accounts import ERASE, IMAGES, Accounts
from serve_app.health import Part
from serve_app.settings import ServeSettings
from tests.waiting import until

PHOTO = Path(str(files("skimage.data") / "rocket.jpg")).read_bytes()


@dataclass
class Site:
    """App, a client of the app with a key of tenant `acme`, and the parts behind the app."""

    app: FastAPI
    client: httpx.AsyncClient
    lake: Lake
    accounts: Accounts
    settings: ServeSettings
    readiness: dict[str, Part] = field(default_factory=dict)

    async def stored(self) -> dict[str, str]:
        """Return the ETag of every object in the store, by key."""
        return {found.key: found.etag for found in await self.lake.store.objects("")}

    async def upload(self, data: bytes = PHOTO, **options: Any) -> httpx.Response:
        headers = {"Content-Type": "image/jpeg", **options.pop("headers", {})}
        return await self.client.post("/v1/images", content=data, headers=headers, **options)

    def key(self, tenant: str, *scopes: str) -> dict[str, str]:
        key = self.accounts.create_key(tenant, scopes or IMAGES | {ERASE}, "test").text
        return {"Authorization": f"Bearer {key}"}


MakeSite = Callable[..., Awaitable[Site]]


def client_of(app: Any, headers: dict[str, str]) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=headers, timeout=60
    )


def png(width: int = 8, height: int = 8, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve the app on a free port of the loopback interface; yields its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        # A test's client may be slow; a shorter time-out would close its connection meanwhile.
        config = uvicorn.Config(
            app, log_level="error", ws="none", lifespan="off", timeout_keep_alive=60
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running
