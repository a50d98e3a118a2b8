import os

import pytest

from lake.store.idle_executor import IdleExecutor


def policy() -> int:
    return os.sched_getscheduler(0)


async def test_work_runs_only_where_nobody_else_wants_the_core() -> None:
    assert await IdleExecutor().run(policy) == os.SCHED_IDLE
    assert policy() != os.SCHED_IDLE, "the event loop's thread is not background"


async def test_work_that_never_gets_a_core_takes_its_share() -> None:
    seconds = [0.0]
    threads = IdleExecutor(now=lambda: seconds[-1])
    await threads.run(seconds.append, 4.0)
    assert await threads.run(policy) == os.SCHED_IDLE
    await threads.run(seconds.append, 10.0)
    assert await threads.run(policy) != os.SCHED_IDLE
    seconds.append(71.0)
    assert await threads.run(policy) == os.SCHED_IDLE, "for a while only"


async def test_what_work_raises_is_raised() -> None:
    def fail() -> None:
        raise ValueError("no rows")

    with pytest.raises(ValueError, match="no rows"):
        await IdleExecutor().run(fail)
