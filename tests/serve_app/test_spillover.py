"""Spillover: if the sandbox has no free place, a peer takes an upload, or 503 refuses it."""

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
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from processors.worker import Worker
from serve_app.admission.spillover import Spillover
from serve_app.api import make_app
from serve_app.auth import KeyRing
from serve_app.health import Readiness
from tests.serve_app.site import Site, client_of, png
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Node:
    """Peer that records its jobs; `says` lists its next answers about free places."""

    exist = True

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.jobs: list[ImageJob] = []
        self.error: Exception | None = None
        self.says = [1]
        self.asked = 0

    async def spare(self) -> int:
        self.asked += 1
        return self.says.pop(0) if self.says else 0

    async def process(self, job: ImageJob) -> Commit:
        self.jobs.append(job)
        if self.error:
            raise self.error
        return await self._worker.handle(job)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def small() -> AsyncIterator[Sandbox]:
    """Sandbox with one child and without a queue."""
    sandbox = await Sandbox.start(ProcessorSettings(sandbox_children=1, sandbox_queue=0))
    yield sandbox
    await sandbox.close()


@pytest.fixture
def node(site: Site) -> Node:
    return Node(site.app.state.context.worker)


def beside(site: Site, sandbox: Sandbox, node: Node | None, **ages: float) -> Site:
    """Return the same site, with images processed in `sandbox`; `ages`: options of Spillover."""

    async def readiness() -> Readiness:
        return Readiness()

    worker = Worker(site.lake, sandbox, ProcessorSettings())
    app = make_app(
        site.lake,
        worker,
        KeyRing.of(site.accounts, site.settings),
        site.settings,
        readiness,
        spillover=Spillover(node, **ages),
    )
    client = client_of(app, dict(site.client.headers))
    return Site(app, client, site.lake, site.accounts, site.settings)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a child for the length of a `with`, so that its job does not end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_an_upload_that_finds_no_place_is_done_on_another_node(
    site: Site, small: Sandbox, node: Node
) -> None:
    full = beside(site, small, node)
    with stopped(small.pids[0]):
        first = asyncio.create_task(full.upload())
        await until(lambda: not small.spare)
        answer = await full.upload(png())
        assert answer.status_code == 201
        assert [job.data.tobytes() for job in node.jobs] == [png()]
        assert (await full.client.get(answer.json()["links"]["self"])).status_code == 200
    assert (await first).status_code == 201
    await until(lambda: small.spare)
    assert (await full.upload(png(seed=1))).status_code == 201
    assert len(node.jobs) == 1, "there was a place again"


async def test_all_busy_is_said_at_once_and_nothing_stays(
    site: Site, small: Sandbox, node: Node
) -> None:
    node.error = Overloaded("this one is busy, too")
    full = beside(site, small, node)
    before = await site.stored()
    with stopped(small.pids[0]):
        first = asyncio.create_task(full.upload(png(seed=2)))
        await until(lambda: not small.spare)
        answer = await full.upload(png(seed=3))
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["Retry-After"] == "1"
        await until(lambda: full.app.state.context.admission.uploads == 1)
    kept = (await first).json()["image_id"]
    new = (await site.stored()).keys() - before.keys()
    assert all(kept in key for key in new if key.startswith("images/"))


async def test_what_the_other_node_refuses_is_refused(
    site: Site, small: Sandbox, node: Node
) -> None:
    node.error = NotAnImage("no image format starts with these bytes")
    full = beside(site, small, node)
    with stopped(small.pids[0]):
        first = asyncio.create_task(full.upload(png(seed=4)))
        await until(lambda: not small.spare)
        answer = await full.upload(png(seed=5))
        assert (answer.status_code, answer.json()["code"]) == (415, "not_an_image")
    await first


async def test_without_another_node_it_is_told_to_come_back(site: Site, small: Sandbox) -> None:
    alone = beside(site, small, None)
    with stopped(small.pids[0]):
        first = asyncio.create_task(alone.upload(png(seed=6)))
        await until(lambda: not small.spare)
        answer = await alone.upload(png(seed=7))
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    await first


async def unread() -> AsyncIterator[bytes]:
    """Body that raises AssertionError if it is read."""
    raise AssertionError("the body was read")
    yield b""


RAW = {"Content-Type": "application/octet-stream"}


async def test_a_burst_is_refused_before_its_bodies_are_read(
    site: Site, small: Sandbox, node: Node
) -> None:
    node.says = []
    full = beside(site, small, node, fresh_seconds=3600)
    with stopped(small.pids[0]):
        first = asyncio.create_task(full.upload(png(seed=8)))
        await until(lambda: not small.spare)
        burst = (full.upload(unread(), headers=RAW) for _ in range(20))  # type: ignore[arg-type]
        answers = await asyncio.gather(*burst)
        assert {(each.status_code, each.json()["code"]) for each in answers} == {
            (503, "overloaded")
        }
        assert {(each.json()["limit"], each.headers["Retry-After"]) for each in answers} == {
            (1, "1")
        }
        assert full.app.state.context.admission.uploads == 1
    assert node.asked == 1, "one answer is enough for a burst"
    assert not node.jobs
    assert (await first).status_code == 201


async def test_a_node_on_its_own_asks_nobody(site: Site, small: Sandbox, node: Node) -> None:
    node.exist = False
    alone = beside(site, small, node)
    with stopped(small.pids[0]):
        first = asyncio.create_task(alone.upload(png(seed=14)))
        await until(lambda: not small.spare)
        answer = await alone.upload(unread(), headers=RAW)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert not node.asked
    assert (await first).status_code == 201


async def test_a_known_keys_refusal_does_not_wait_for_the_accounts(
    site: Site, small: Sandbox
) -> None:
    alone = beside(site, small, None)
    with stopped(small.pids[0]):
        first = asyncio.create_task(alone.upload(png(seed=15)))
        await until(lambda: not small.spare)
        site.accounts.verify = None  # type: ignore[assignment,method-assign]
        answer = await alone.upload(unread(), headers=RAW)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert (await first).status_code == 201


async def test_a_wrong_key_takes_no_place_and_hears_401_when_all_is_busy(
    site: Site, small: Sandbox
) -> None:
    alone = beside(site, small, None)
    with stopped(small.pids[0]):
        first = asyncio.create_task(alone.upload(png(seed=16)))
        await until(lambda: not small.spare)
        for key in ("nonsense", f"pxl_{'0' * 12}_{'0' * 64}"):
            answer = await alone.upload(png(), headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 401
        assert alone.app.state.context.admission.uploads == 1
    assert (await first).status_code == 201


async def test_only_a_quiet_nodes_first_refusal_waits_for_the_other_nodes_answer(
    monkeypatch: pytest.MonkeyPatch, node: Node
) -> None:
    spillover = Spillover(node, fresh_seconds=0, valid_seconds=3600)
    assert await spillover.reserve(), "the first one"
    said = asyncio.Event()

    async def slowly() -> int:
        await said.wait()
        return 2

    monkeypatch.setattr(node, "spare", slowly)
    assert not await spillover.reserve(), "by the answer before"
    assert not await spillover.reserve()
    said.set()
    for _ in range(3):  # until the running request to the peer has its answer
        await asyncio.sleep(0)
    assert [await spillover.reserve() for _ in range(2)] == [True, True]


async def test_another_node_gets_no_more_than_it_has_places_for(
    site: Site, small: Sandbox, node: Node
) -> None:
    full = beside(site, small, node)
    with stopped(small.pids[0]):
        first = asyncio.create_task(full.upload(png(seed=9)))
        await until(lambda: not small.spare)
        assert (await full.upload(png(seed=10))).status_code == 201
        answer = await full.upload(unread(), headers=RAW)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert len(node.jobs) == 1
    assert (await first).status_code == 201


@pytest.mark.parametrize(("patience", "status"), [(3600, 503), (0, 201)])
async def test_one_on_its_way_has_its_place_but_not_for_ever(
    site: Site, small: Sandbox, patience: float, status: int
) -> None:
    alone = beside(site, small, None)
    alone.app.state.context.admission.patience_seconds = patience
    sent, more = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        sent.set()
        await more.wait()
        yield png(seed=12)

    await until(lambda: small.spare)
    first = asyncio.create_task(alone.upload(slow(), headers=RAW))  # type: ignore[arg-type]
    await sent.wait()
    assert (await alone.upload(png(seed=13 + status))).status_code == status
    more.set()
    await until(lambda: small.spare)
    assert (await first).status_code in {200, 201}
    assert alone.app.state.context.admission.expected == 0


async def test_each_tenant_has_a_child_of_its_own(site: Site, small: Sandbox, node: Node) -> None:
    here = beside(site, small, node)
    pids: list[int] = []
    for tenant in ("acme", "acme", "harbour"):
        answer = await here.upload(png(seed=len(pids) + 90), headers=here.key(tenant))
        assert answer.status_code == 201
        pids += small.pids
    assert pids[0] == pids[1] != pids[2]
