"""A whole HTTP door for tests: real lake, real sandbox, real accounts; only the socket is left out.

`serving` puts one on a real socket, for what only a socket shows.
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
from serve_app.accounts import Accounts
from serve_app.health import Part
from serve_app.settings import ServeSettings
from tests.waiting import until

PHOTO = Path(str(files("skimage.data") / "rocket.jpg")).read_bytes()


@dataclass
class Site:
    """An app, a client of it with a key of tenant `acme`, and what is behind it."""

    app: FastAPI
    client: httpx.AsyncClient
    lake: Lake
    accounts: Accounts
    settings: ServeSettings
    readiness: dict[str, Part] = field(default_factory=dict)

    async def stored(self) -> dict[str, str]:
        """Every object in the store, with its ETag."""
        return {found.key: found.etag for found in await self.lake.store.objects("")}

    async def upload(self, data: bytes = PHOTO, **options: Any) -> httpx.Response:
        headers = {"Content-Type": "image/jpeg", **options.pop("headers", {})}
        return await self.client.post("/v1/images", content=data, headers=headers, **options)

    def key(self, tenant: str, *scopes: str) -> dict[str, str]:
        key = self.accounts.create_key(tenant, scopes or ("images:read", "images:write"), "test")
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
    """The app on a free port of the loopback interface; yields its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        # A client of a test may be slow, and a connection that closes meanwhile is no answer.
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
