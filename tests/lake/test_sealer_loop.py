"""Loops of the sealer's replica: an unexpected error ends no loop."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from lake.retention.sweeper import Sweeper
from lake.seal.maintenance import Maintenance
from lake.settings import LakeSettings
from lake.store.object_store import ObjectStore


class Unforeseen(Exception):
    """An error that no code of the lake raises."""


@pytest.mark.filterwarnings("ignore")  # Ray's import of pydantic
async def test_unforeseen_errors_end_neither_sealing_nor_sweeping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lake import app  # noqa: PLC0415  # Ray Serve takes seconds to import

    passes, swept, again = [], asyncio.Event(), asyncio.Event()

    async def run_pass(_: Maintenance) -> None:
        passes.append(1)
        if len(passes) == 3:
            again.set()
        raise Unforeseen("a pass")

    async def sweep(_: Sweeper) -> None:
        raise Unforeseen("a sweep")

    async def last_audit(_: ObjectStore) -> None:
        swept.set()

    class NoExport:
        def __init__(self, *_: Any) -> None:
            pass

        async def watch(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(Maintenance, "run_pass", run_pass)
    monkeypatch.setattr(Sweeper, "sweep", sweep)
    monkeypatch.setattr(app, "last_audit", last_audit)
    # Log, metrics and priority belong to a process of Ray, which this test does not have.
    monkeypatch.setattr(app, "begin_in_replica", lambda: None)
    monkeypatch.setattr(app, "MetricsExporter", NoExport)
    monkeypatch.setattr(os, "nice", lambda _: 0)
    settings = LakeSettings(store_url=(tmp_path / "store").as_uri(), seal_interval_seconds=0.001)

    class Replica(app.SealerLoop):
        def __del__(self) -> None:  # type: ignore[override]
            """Do nothing: Python does not await the method, as Serve does."""

    replica = Replica.__new__(Replica)
    await replica.__init__(settings)  # type: ignore[misc]  # Serve awaits it
    async with asyncio.timeout(60):
        await swept.wait()
        await again.wait()
    await replica.check_health()
    await app.SealerLoop.__del__(replica)
