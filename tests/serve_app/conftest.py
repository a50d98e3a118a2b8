from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from lake.commit.invalidations import Invalidations
from lake.lake import Lake
from lake.settings import LakeSettings
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from processors.worker import Worker
from serve_app.accounts import ERASE, IMAGES, Accounts
from serve_app.api import make_app
from serve_app.auth import KeyRing
from serve_app.cache.connection import CacheConnection
from serve_app.health import Part, Readiness
from serve_app.settings import ServeSettings
from tests.serve_app.postgres import Postgres, postgres_or_reason
from tests.serve_app.redis_cache import PATIENCE_SECONDS, Connect, watched
from tests.serve_app.site import MakeSite, Site, client_of
from tests.servers.redis import RedisServer, redis_available
from tests.waiting import until


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    children = await Sandbox.start(ProcessorSettings())
    yield children
    await children.close()


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    opened = Accounts.open(f"sqlite:///{tmp_path / 'accounts.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    found = postgres_or_reason()
    if isinstance(found, str):
        pytest.skip(f"THE ACCOUNTS ARE NOT TESTED ON POSTGRESQL: {found}")
    with found as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    if reason := redis_available():
        pytest.skip(f"NOTHING IS TESTED ON REDIS: {reason}")
    with RedisServer() as running:
        yield running


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[RedisServer]:
    """Server that is empty before a test, and healthy after it."""
    redis_server.command("FLUSHALL")
    yield redis_server
    redis_server.resume()
    redis_server.start()
    redis_server.command("CONFIG", "SET", "maxmemory", "0")


@pytest_asyncio.fixture(loop_scope="session")
async def connect() -> AsyncIterator[Connect]:
    """Function that connects to a server, and returns when that answers."""
    async with AsyncExitStack() as stack:

        async def connected(url: str, wait_seconds: float = PATIENCE_SECONDS) -> CacheConnection:
            cache = await stack.enter_async_context(watched(url, wait_seconds))
            await until(lambda: cache.answers, "the cache answers")
            return cache

        yield connected


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'deep' / 'accounts.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def settings(tmp_path: Path) -> ServeSettings:
    return ServeSettings(home=tmp_path)


@pytest_asyncio.fixture(loop_scope="session")
async def make_site(sandbox: Sandbox, accounts: Accounts) -> AsyncIterator[MakeSite]:
    clients = []

    async def make(
        settings: ServeSettings,
        on: LakeSettings | None = None,
        cache: CacheConnection | None = None,
        invalidations: Invalidations | None = None,
    ) -> Site:
        lake = await Lake.open(on or LakeSettings(store_url="memory://"))
        ready = {"api": Part(ready=True), "kafka": Part(ready=True)}

        async def readiness() -> Readiness:
            return Readiness(parts=dict(ready))

        app = make_app(
            lake,
            Worker(lake, sandbox, ProcessorSettings()),
            KeyRing.of(accounts, settings),
            settings,
            readiness,
            cache=cache,
            invalidations=invalidations,
        )
        key = accounts.create_key("acme", IMAGES | {ERASE}, "test").text
        client = client_of(app, {"Authorization": f"Bearer {key}"})
        clients.append(client)
        return Site(app, client, lake, accounts, settings, ready)

    yield make
    for client in clients:
        await client.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def site(make_site: MakeSite, settings: ServeSettings) -> Site:
    return await make_site(settings)
