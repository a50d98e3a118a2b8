import asyncio
import os
import threading

import pytest

from lake.store import idle_executor
from lake.store.idle_executor import IdleExecutor


def policy() -> int:
    return os.sched_getscheduler(0)


async def test_work_runs_only_where_nobody_else_wants_the_core() -> None:
    assert await IdleExecutor().run(policy) == os.SCHED_IDLE
    assert policy() != os.SCHED_IDLE, "the event loop's thread is not background"


async def test_work_that_never_gets_a_core_takes_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = IdleExecutor()
    release = threading.Event()
    monkeypatch.setattr(idle_executor, "_PATIENCE_SECONDS", 0.0)
    starved = asyncio.create_task(threads.run(release.wait))
    await asyncio.sleep(0)
    release.set()
    await starved
    assert await threads.run(policy) != os.SCHED_IDLE
    monkeypatch.setattr(idle_executor, "_PRESSING_SECONDS", float("-inf"))
    await threads.run(policy)
    assert await threads.run(policy) == os.SCHED_IDLE, "for a while only"


async def test_what_work_raises_is_raised() -> None:
    def fail() -> None:
        raise ValueError("no rows")

    with pytest.raises(ValueError, match="no rows"):
        await IdleExecutor().run(fail)
