from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.framing.stand import Stand, standing


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """As it runs."""
    async with standing(tmp_path_factory.mktemp("both")) as stand:
        yield stand


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def only_haproxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """HAProxy's fence before a replica without one."""
    async with standing(tmp_path_factory.mktemp("only-haproxy"), replica_fence=False) as stand:
        yield stand


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def only_replica(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """The replica's fence behind a HAProxy without one."""
    async with standing(tmp_path_factory.mktemp("only-replica"), haproxy_fence=False) as stand:
        yield stand


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def none(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """Neither: what the fences are there for, so that a test is seen to find it."""
    folder: Path = tmp_path_factory.mktemp("none")
    async with standing(folder, haproxy_fence=False, replica_fence=False) as stand:
        yield stand
