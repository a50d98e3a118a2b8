"""When every place of this process's sandbox is taken, uploads go to another node, or back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio

from lake.lake import Commit
from processors.errors import NotAnImage, Overloaded
from processors.job import ImageJob
from processors.sandbox import Sandbox
from processors.settings import ProcessorSettings
from processors.worker import Worker
from serve_app.api import make_app
from serve_app.door import Spill
from serve_app.health import Readiness
from tests.serve_app.site import Site, client_of, png, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Node:
    """Another node: what it was asked to do, and whether it has room."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.jobs: list[ImageJob] = []
        self.error: Exception | None = None

    async def take(self, job: ImageJob) -> Commit:
        self.jobs.append(job)
        if self.error:
            raise self.error
        return await self._worker.handle(job)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def small() -> AsyncIterator[Sandbox]:
    """One child, and no place to wait for it."""
    sandbox = await Sandbox.start(ProcessorSettings(sandbox_children=1, sandbox_queue=0))
    yield sandbox
    await sandbox.close()


@pytest.fixture
def node(site: Site) -> Node:
    return Node(site.app.state.door.worker)


def beside(site: Site, sandbox: Sandbox, spill: Spill | None) -> Site:
    """The same site, its images processed in that sandbox."""

    async def readiness() -> Readiness:
        return Readiness()

    worker = Worker(site.lake, sandbox, ProcessorSettings())
    app = make_app(site.lake, worker, site.accounts, site.settings, readiness, spill=spill)
    client = client_of(app, dict(site.client.headers))
    return Site(app, client, site.lake, site.accounts, site.settings)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A child that stands still: whoever waits for it does not come back."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_an_upload_that_finds_no_place_is_done_on_another_node(
    site: Site, small: Sandbox, node: Node
) -> None:
    full = beside(site, small, node.take)
    with stopped(small.pids[0]):
        first = asyncio.create_task(full.upload())
        await until(lambda: not small.has_room)
        answer = await full.upload(png())
        assert answer.status_code == 201
        assert [job.data.tobytes() for job in node.jobs] == [png()]
        assert (await full.client.get(answer.json()["links"]["self"])).status_code == 200
    assert (await first).status_code == 201
    await until(lambda: small.has_room)
    assert (await full.upload(png(seed=1))).status_code == 201
    assert len(node.jobs) == 1, "there was a place again"


async def test_all_busy_is_said_at_once_and_nothing_stays(
    site: Site, small: Sandbox, node: Node
) -> None:
    node.error = Overloaded("this one is busy, too")
    full = beside(site, small, node.take)
    before = await site.stored()
    with stopped(small.pids[0]):
        first = asyncio.create_task(full.upload(png(seed=2)))
        await until(lambda: not small.has_room)
        answer = await full.upload(png(seed=3))
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["Retry-After"] == "1"
        await until(lambda: full.app.state.door.admission.uploads == 1)
    kept = (await first).json()["image_id"]
    new = (await site.stored()).keys() - before.keys()
    assert all(kept in key for key in new if key.startswith("images/"))


async def test_what_the_other_node_refuses_is_refused(
    site: Site, small: Sandbox, node: Node
) -> None:
    node.error = NotAnImage("no image format starts with these bytes")
    full = beside(site, small, node.take)
    with stopped(small.pids[0]):
        first = asyncio.create_task(full.upload(png(seed=4)))
        await until(lambda: not small.has_room)
        answer = await full.upload(png(seed=5))
        assert (answer.status_code, answer.json()["code"]) == (415, "not_an_image")
    await first


async def test_without_another_node_it_is_told_to_come_back(site: Site, small: Sandbox) -> None:
    alone = beside(site, small, None)
    with stopped(small.pids[0]):
        first = asyncio.create_task(alone.upload(png(seed=6)))
        await until(lambda: not small.has_room)
        answer = await alone.upload(png(seed=7))
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    await first
