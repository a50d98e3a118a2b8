from collections.abc import AsyncIterator, Iterator
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
from tests.serve_app.site import MakeSite, Site, client_of


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
