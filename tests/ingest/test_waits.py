"""Back-off between the tries of a batch."""

import asyncio

import pytest
from tenacity import RetryCallState

from ingest.waits import WAITS


def test_waits_double_up_to_a_bound_and_differ() -> None:
    again = WAITS.repeated()
    state = RetryCallState(again, None, (), {})
    longest = 0.2
    for _ in range(12):
        waits = [again.wait(state) for _ in range(50)]
        assert longest / 2 <= min(waits) < max(waits) <= longest
        longest = min(2 * longest, 10.0)
        state.attempt_number += 1


async def test_a_cancelled_task_ends_at_once() -> None:
    begun = asyncio.Event()

    async def stuck() -> bool:
        begun.set()
        await asyncio.Event().wait()
        return True

    task: asyncio.Task[bool] = asyncio.create_task(WAITS.repeated()(stuck))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
