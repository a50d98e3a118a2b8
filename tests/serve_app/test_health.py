import asyncio

import pytest

from lake.lake import Lake
from lake.settings import LakeSettings
from lake.store.write_health import WriteHealth
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from processors.worker import Worker
from serve_app.accounts import Accounts
from serve_app.api import make_app
from serve_app.auth import KeyRing
from serve_app.health import AnsweredBy, Part, Readiness, api_part
from serve_app.settings import ServeSettings
from tests.serve_app.site import Site, client_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_alive_needs_no_key(site: Site) -> None:
    del site.client.headers["Authorization"]
    answer = await site.client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"alive": True})


async def test_ready_exactly_when_both_doors_are(site: Site) -> None:
    del site.client.headers["Authorization"]
    answer = await site.client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "parts": {"api": {"ready": True}, "kafka": {"ready": True}},
    }
    site.readiness["kafka"] = Part(ready=False, detail="no broker")
    answer = await site.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert answer.json()["parts"]["kafka"] == {"ready": False, "detail": "no broker"}


async def test_nothing_known_is_not_ready(site: Site) -> None:
    site.readiness.clear()
    assert (await site.client.get("/readyz")).status_code == 503


async def test_a_check_that_fails_is_not_ready(
    site: Site, accounts: Accounts, settings: ServeSettings
) -> None:
    async def broken() -> Readiness:
        raise RuntimeError("secret address")

    worker: Worker = site.app.state.context.worker
    app = make_app(site.lake, worker, KeyRing.of(accounts, settings), settings, broken)
    async with client_of(app, {}) as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "secret" not in answer.text


async def test_the_api_is_ready_when_store_accounts_and_decoders_are(
    accounts: Accounts, settings: ServeSettings, sandbox: Sandbox
) -> None:
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    keys = KeyRing.of(accounts, settings)
    assert (await api_part(lake, keys, sandbox)).ready
    closed = await Sandbox.start(ProcessorSettings(sandbox_children=1))
    await closed.close()
    assert not (await api_part(lake, keys, closed)).ready


async def test_readiness_tells_which_protections_are_active(
    site: Site, accounts: Accounts, settings: ServeSettings, sandbox: Sandbox
) -> None:
    site.readiness["api"] = await api_part(site.lake, KeyRing.of(accounts, settings), sandbox)
    said = (await site.client.get("/readyz")).json()["parts"]["api"]["sandbox"]
    assert said["no_new_privileges"] is True
    assert said["address_space_bytes"] > 0
    assert said["children"] == len(sandbox.pids)
    assert said["system_call_filter"] == sandbox.protections["system_call_filter"]
    assert "environment" not in said


async def test_a_store_that_does_not_answer_is_named(
    accounts: Accounts, settings: ServeSettings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial write ends before the whole check, which could only say `no answer`."""
    lake = await Lake.open(LakeSettings(store_url="memory://"))

    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("lake.lake.trial_write", silent)
    lake.store.writes = WriteHealth(trial_seconds=0.05)  # no write has succeeded yet
    part = await api_part(lake, KeyRing.of(accounts, settings), sandbox)
    assert (part.ready, part.detail) == (False, "store_unavailable")


async def test_the_answer_names_the_replica_and_its_node(
    site: Site, accounts: Accounts, settings: ServeSettings
) -> None:
    async def readiness() -> Readiness:
        replica = AnsweredBy(node="4f2a", replica="x7k2p1qz")
        return Readiness(answered_by=replica, parts={"api": Part(ready=True)})

    worker: Worker = site.app.state.context.worker
    app = make_app(site.lake, worker, KeyRing.of(accounts, settings), settings, readiness)
    async with client_of(app, {}) as client:
        said = (await client.get("/readyz")).json()
    assert said["answered_by"] == {"node": "4f2a", "replica": "x7k2p1qz"}
