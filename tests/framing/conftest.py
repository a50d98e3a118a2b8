from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.framing.stand import Stand, standing


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """HAProxy and a replica with both checks, as in production."""
    async with standing(tmp_path_factory.mktemp("both")) as stand:
        yield stand


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def only_haproxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """HAProxy with its check, before a replica without one."""
    async with standing(tmp_path_factory.mktemp("only-haproxy"), replica_fence=False) as stand:
        yield stand


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def only_replica(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """A replica with its check, behind a HAProxy without one."""
    async with standing(tmp_path_factory.mktemp("only-replica"), haproxy_fence=False) as stand:
        yield stand


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def none(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """Stand without checks: proves that the tests detect the attacks that the checks prevent."""
    folder: Path = tmp_path_factory.mktemp("none")
    async with standing(folder, haproxy_fence=False, replica_fence=False) as stand:
        yield stand
